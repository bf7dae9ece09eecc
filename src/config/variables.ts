import { accessSync, constants, statSync } from 'node:fs';
import { z } from 'zod';
import { logFormats, logLevels } from '../telemetry/log';
import { databaseTlsModes } from '../db/tls';

/** One environment variable: how to read it, and how to explain it. */
export interface Variable<T> {
  readonly description: string;
  /** What holds when the variable is not set. */
  readonly default?: string;
  /** The variable may be left out, and then there is no value. */
  readonly optional?: true;
  /** The value is a secret: it may also come from the file that `<name>_FILE` names. */
  readonly secret?: true;
  readonly schema: z.ZodType<T, string>;
}

const databaseUrl = z
  .string()
  .regex(/^mysql:\/\/[^/]+\/[^/?]+/, 'must look like mysql://user:password@host:port/database')
  .regex(/^[^?#]*$/, 'must have no options behind the database: there are variables for them')
  .refine(isUrl, 'is no URL; what is special in a password must be percent-encoded');

function isUrl(text: string): boolean {
  try {
    const { username, password } = new URL(text);
    decodeURIComponent(username + password);
    return true;
  } catch {
    return false;
  }
}

const wholeNumber = (least: number, most: number) =>
  z
    .string()
    .regex(/^\d+$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.number().min(least, `must be at least ${least}`).max(most, `must be at most ${most}`));

/** Where to listen: `host:port`. */
export const listenAddress = z
  .string()
  .regex(/^(\[[^\]]+\]|[^:/]+):\d{1,5}$/, 'must look like host:port')
  .refine((text) => Number(text.split(':').at(-1)) <= 65_535, 'has no such port');

const oneOf = <T extends string>(choices: readonly [T, ...T[]]) =>
  z.enum(choices, `must be one of ${choices.join(', ')}`);

const yesOrNo = oneOf(['true', 'false'] as const).transform((text) => text === 'true');

const file = z.string().refine(isReadableFile, 'names a file that can not be read');

function isReadableFile(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** Host names are compared without regard to case (RFC 4343). */
function certificateName(text: string): string {
  const name = text.trim();
  return name.startsWith('DNS:') ? `DNS:${name.slice('DNS:'.length).toLowerCase()}` : name;
}

/** What the ledger has room for. */
const maxNameLength = 255;

/** The names of certificates (RFC 5280, section 4.2.1.6) as Node.js writes them, with commas between. */
const certificateNames = z
  .string()
  .transform((text) => text.split(',').map(certificateName))
  .pipe(
    z.array(
      z
        .string()
        .regex(/^(URI|DNS):[^\s*]+$/, 'must list whole names like URI:… or DNS:…')
        .max(maxNameLength, `must list names of at most ${maxNameLength} characters`),
    ),
  );

/** Every variable that the service reads, in the order in which they are explained. */
export const variables = {
  DATABASE_URL: {
    description:
      'The MySQL database, as mysql://user:password@host:port/database, or a file that contains this (DATABASE_URL_FILE), which is reloaded when it changes',
    secret: true,
    schema: databaseUrl,
  },
  DATABASE_TLS: {
    description:
      'TLS to MySQL: off is plain text, verify-ca checks the chain of its certificate, verify-full also checks its host name',
    default: 'off',
    schema: oneOf(databaseTlsModes),
  },
  DATABASE_TLS_CA: {
    description:
      "The PEM file with the CAs that MySQL's certificate must come from; reloaded when it changes. Default: the CAs of Node.js",
    optional: true,
    schema: file,
  },
  DATABASE_LOCK_WAIT: {
    description: 'How long a statement waits for a locked row, in seconds',
    default: '2',
    schema: wholeNumber(1, 60),
  },
  DATABASE_SILENCE: {
    description:
      'The read timeout of database connections, in seconds: a connection on which a statement gets no answer for so long is closed. At least twice DATABASE_LOCK_WAIT, and less than half of what callers wait',
    default: '6',
    schema: wholeNumber(2, 3_600),
  },
  DATABASE_CONNECTION_AGE: {
    description:
      'How long a connection to MySQL is used before it is replaced, in seconds, so that connections follow a proxy or a DNS name that changes',
    default: '300',
    schema: wholeNumber(1, 86_400),
  },
  SHARE_TOKEN_JWKS: {
    description:
      'The JWKS with the public keys that verify share tokens (or, from a file, shared secrets): the path of a file, or an https URL',
    schema: z.string().min(1, 'must not be empty'),
  },
  SHARE_TOKEN_SIGNING_KEY: {
    description:
      "The file with the platform's private JWK, with which ShareSession signs share tokens; its public half must be in SHARE_TOKEN_JWKS. Reloaded when it changes. Without it, ShareSession is refused",
    optional: true,
    schema: file,
  },
  SHARE_TOKEN_CLOCK_SKEW: {
    description:
      "How far the signer's clock may be ahead when a share token's iat and nbf are checked, in seconds; exp is checked to the second",
    default: '10',
    schema: wholeNumber(0, 300),
  },
  SESSION_BASE_URL: {
    description: 'What the URL of a session starts with',
    schema: z
      .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
      .regex(/^[^?#]*$/, 'must have no query and no fragment')
      .transform((url) => url.replace(/\/+$/, '')),
  },
  GRPC_ADDRESS: {
    description: 'Where to listen, as host:port; port 0 takes a free one',
    default: '127.0.0.1:50051',
    schema: listenAddress,
  },
  GRPC_TLS_CERT: {
    description:
      "The PEM file with the service's certificate and the intermediate certificates; reloaded when it changes",
    optional: true,
    schema: file,
  },
  GRPC_TLS_KEY: {
    description: 'The PEM file with the private key of GRPC_TLS_CERT; reloaded when it changes',
    optional: true,
    schema: file,
  },
  GRPC_TLS_CLIENT_CA: {
    description:
      'The PEM file with the CAs that client certificates must come from (mutual TLS); reloaded when it changes',
    optional: true,
    schema: file,
  },
  GRPC_TLS_CLIENT_AUTH: {
    description:
      'Whether a client must present a certificate if GRPC_TLS_CLIENT_CA is set: required (also if this is not set), optional',
    optional: true,
    schema: oneOf(['required', 'optional'] as const),
  },
  GRPC_ALLOW_PLAINTEXT: {
    description: 'Whether plain text is allowed on an address other than loopback: true, false',
    default: 'false',
    schema: yesOrNo,
  },
  REQUIRE_CONNECTIONS: {
    description:
      'Whether ShareSession and ImportSession need an active connection of the two applications, whose terms allow what is asked: true, false',
    default: 'false',
    schema: yesOrNo,
  },
  TRUSTED_GATEWAYS: {
    description:
      'The names in the client certificates of trusted gateways, as URI:… or DNS:…, separated by commas: these clients may name in x-application-id the application they act for',
    optional: true,
    schema: certificateNames,
  },
  GRPC_KEEPALIVE: {
    description:
      'How long a client may be silent before it is pinged, in seconds; if it does not answer within a third of that, it is disconnected',
    default: '60',
    schema: wholeNumber(1, 3_600),
  },
  GRPC_MAX_CONNECTION_AGE: {
    description:
      'How long a connection is kept before its client is asked to make a new one, in seconds; 0 is no limit',
    default: '1800',
    schema: wholeNumber(0, 86_400),
  },
  GRPC_MAX_CONNECTIONS: {
    description:
      'The most connections of clients. If there are more, one of the address that has the most strangers is closed, if possible one without calls',
    default: '1000',
    schema: wholeNumber(1, 1_000_000),
  },
  GRPC_MAX_CONCURRENT_STREAMS: {
    description:
      'The most concurrent calls on one connection. From the second connection of an address on, there are [fewer](security.md#what-a-peer-may-cost)',
    default: '500',
    schema: wholeNumber(1, 1_000_000),
  },
  GRPC_REQUEST_TIMEOUT: {
    description: 'How long a client may take to send the request of a call, in seconds',
    default: '10',
    schema: wholeNumber(1, 300),
  },
  IMPORT_WORKERS: {
    description:
      'Groups of imports that run at the same time, for each kind of session. In addition, one group may run for large sessions, and four for locked ones. Each group takes up to two database connections',
    default: '2',
    schema: wholeNumber(1, 64),
  },
  IMPORT_GROUP_SIZE: {
    description: 'The most imports that share a transaction',
    default: '64',
    schema: wholeNumber(1, 512),
  },
  IMPORT_GROUP_ROWS: {
    description:
      'The most rows that the imports of one transaction copy. 2 KiB of JSON or text count as one row. A session with more than half of that is large, and waits in a lane of its own',
    default: '3000',
    schema: wholeNumber(1, 1_000_000),
  },
  IMPORT_QUEUE_LIMIT: {
    description: 'The most imports that wait, for each kind of session; more are refused',
    default: '1000',
    schema: wholeNumber(1, 1_000_000),
  },
  EVENT_INTERVAL: {
    description:
      'The pause between two looks for new events and withdrawals, in milliseconds. An event is in its feed after about one pause, and in the streams after two',
    default: '500',
    schema: wholeNumber(10, 60_000),
  },
  SOURCE_SWEEP_INTERVAL: {
    description:
      'The pause between two steps of each sweep for sources that the platform has changed or deleted, in seconds, whatever the number of processes. A step looks at 500 changes of a kind, or at 500 entries of the ledger',
    default: '5',
    schema: wholeNumber(1, 86_400),
  },
  RATE_LIMIT: {
    description:
      'How many calls per second each application may make to each process, on average; 0 is no limit',
    default: '0',
    schema: wholeNumber(0, 1_000_000),
  },
  RATE_LIMIT_BURST: {
    description: 'How many calls an application may make at once after it was idle',
    default: '50',
    schema: wholeNumber(1, 1_000_000),
  },
  SHUTDOWN_GRACE: {
    description:
      'When the service is stopped: how long calls may take to finish, and clients to take the answers and close their connections, in seconds',
    default: '25',
    schema: wholeNumber(0, 3_600),
  },
  METRICS_ADDRESS: {
    description:
      'Where to serve /metrics, /livez and /readyz over HTTP, as host:port; port 0 takes a free one; off disables them',
    default: '127.0.0.1:9464',
    schema: z
      .literal('off')
      .transform(() => undefined)
      .or(listenAddress),
  },
  LOG_LEVEL: {
    description: `How much to log: ${logLevels.join(', ')}`,
    default: 'info',
    schema: oneOf(logLevels),
  },
  LOG_FORMAT: {
    description:
      'How to log: json is one object per line, pretty is for people, auto is pretty on a terminal',
    default: 'auto',
    schema: oneOf(logFormats),
  },
} satisfies Record<string, Variable<unknown>>;

export type VariableName = keyof typeof variables;

/** The values of all variables; undefined for those that are optional and not set. */
export type Values = {
  [Name in VariableName]:
    | z.output<(typeof variables)[Name]['schema']>
    | ((typeof variables)[Name] extends { readonly optional: true } ? undefined : never);
};
