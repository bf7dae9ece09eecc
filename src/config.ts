import { z } from 'zod';
import type { DatabaseOptions } from './db/connection';
import type { QueueOptions } from './import/import-queue';
import { logLevels, type LogLevel } from './telemetry/logger';

/** Everything that the service is told from outside. */
export interface Config {
  /** `host:port` to listen on; port 0 takes a free one. */
  readonly grpcAddress: string;
  readonly database: Omit<Required<DatabaseOptions>, 'poolSize' | 'together'>;
  /** The path of a JWK Set, or its https URL. */
  readonly shareTokenJwks: string;
  /** How far ahead the clocks of token signers may be, in seconds. */
  readonly shareTokenClockSkew: number;
  /** What a session's URL starts with, without a slash at the end. */
  readonly sessionBaseUrl: string;
  readonly queue: QueueOptions;
  /** How long calls that run may take to finish once the service was told to stop, in seconds. */
  readonly shutdownGrace: number;
  readonly logLevel: LogLevel;
}

/** One environment variable: how to read it, and how to explain it. */
interface Variable<T> {
  readonly description: string;
  /** Undefined: the variable must be set. */
  readonly default?: string;
  readonly schema: z.ZodType<T, string>;
}

const databaseUrl = z
  .string()
  .regex(/^mysql:\/\/[^/]+\/[^/?]+/, 'must look like mysql://user:password@host:port/database')
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

/** Every variable that the service reads. */
export const variables = {
  DATABASE_URL: {
    description: 'The MySQL database: mysql://user:password@host:port/database',
    schema: databaseUrl,
  },
  GRPC_ADDRESS: {
    description: 'Where to listen, as host:port; port 0 takes a free one',
    default: '127.0.0.1:50051',
    schema: z
      .string()
      .regex(/^(\[[^\]]+\]|[^:/]+):\d{1,5}$/, 'must look like host:port')
      .refine((address) => Number(address.split(':').at(-1)) <= 65_535, 'has no such port'),
  },
  SHARE_TOKEN_JWKS: {
    description:
      'The JWK Set with the keys that share tokens are signed with: the path of a file, or an https URL',
    schema: z.string().min(1, 'must not be empty'),
  },
  SHARE_TOKEN_CLOCK_SKEW: {
    description: 'How far ahead the clock of whoever signs a share token may be, in seconds',
    default: '0',
    schema: wholeNumber(0, 300),
  },
  SESSION_BASE_URL: {
    description: 'What the URL of a session starts with',
    schema: z
      .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
      .regex(/^[^?#]*$/, 'must have no query and no fragment')
      .transform((url) => url.replace(/\/+$/, '')),
  },
  DATABASE_LOCK_WAIT: {
    description: 'How long a statement waits for a row that is locked, in seconds',
    default: '2',
    schema: wholeNumber(1, 60),
  },
  DATABASE_SILENCE: {
    description:
      'How long the database may take to answer a statement, in seconds, before its connection is given up; at least twice DATABASE_LOCK_WAIT',
    default: '30',
    schema: wholeNumber(2, 3_600),
  },
  IMPORT_WORKERS: {
    description:
      'Groups of imports that run at the same time, for each kind of session, besides one for large sessions; each takes up to two database connections',
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
      'The most rows that the imports of one transaction copy; a session with more than half of that is large, and waits in a line of its own',
    default: '3000',
    schema: wholeNumber(1, 1_000_000),
  },
  IMPORT_QUEUE_LIMIT: {
    description: 'The most imports that wait, for each kind of session; more are refused',
    default: '1000',
    schema: wholeNumber(1, 1_000_000),
  },
  SHUTDOWN_GRACE: {
    description:
      'How long running calls may take to finish when the service is stopped, in seconds',
    default: '25',
    schema: wholeNumber(0, 3_600),
  },
  LOG_LEVEL: {
    description: `How much to log: ${logLevels.join(', ')}`,
    default: 'info',
    schema: z.enum(logLevels, `must be one of ${logLevels.join(', ')}`),
  },
} satisfies Record<string, Variable<unknown>>;

type Values = { [Name in keyof typeof variables]: z.output<(typeof variables)[Name]['schema']> };

/** The environment is not what it must be; the message lists every mistake. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/**
 * Reads the configuration of the service.
 *
 * @throws ConfigError listing every variable that is missing or wrong. Values are not repeated: some
 * are secret.
 */
export function readConfig(environment: NodeJS.ProcessEnv): Config {
  const values = readVariables(environment, Object.keys(variables) as (keyof Values)[]);
  if (values.DATABASE_SILENCE < values.DATABASE_LOCK_WAIT * 2) {
    throw new ConfigError(
      'DATABASE_SILENCE must be at least twice DATABASE_LOCK_WAIT, or a lock looks like a database that is gone.',
    );
  }
  return {
    grpcAddress: values.GRPC_ADDRESS,
    database: {
      url: values.DATABASE_URL,
      lockWaitSeconds: values.DATABASE_LOCK_WAIT,
      silenceSeconds: values.DATABASE_SILENCE,
    },
    shareTokenJwks: values.SHARE_TOKEN_JWKS,
    shareTokenClockSkew: values.SHARE_TOKEN_CLOCK_SKEW,
    sessionBaseUrl: values.SESSION_BASE_URL,
    queue: {
      workers: values.IMPORT_WORKERS,
      groupSize: values.IMPORT_GROUP_SIZE,
      groupRows: values.IMPORT_GROUP_ROWS,
      limit: values.IMPORT_QUEUE_LIMIT,
    },
    shutdownGrace: values.SHUTDOWN_GRACE,
    logLevel: values.LOG_LEVEL,
  };
}

/**
 * Reads what the commands that only talk to the database need.
 *
 * @throws ConfigError
 */
export function readDatabaseUrl(environment: NodeJS.ProcessEnv): string {
  return readVariables(environment, ['DATABASE_URL']).DATABASE_URL;
}

function readVariables<Name extends keyof Values>(
  environment: NodeJS.ProcessEnv,
  names: readonly Name[],
): Pick<Values, Name> {
  const values: Partial<Record<Name, unknown>> = {};
  const mistakes: string[] = [];
  for (const name of names) {
    const variable: Variable<unknown> = variables[name];
    // An empty variable is what a deployment leaves behind that meant to unset it.
    const text =
      environment[name] === '' ? variable.default : (environment[name] ?? variable.default);
    if (text === undefined) {
      mistakes.push(`${name} is not set. ${variable.description}.`);
      continue;
    }
    const parsed = variable.schema.safeParse(text);
    if (parsed.success) values[name] = parsed.data;
    else mistakes.push(`${name} ${parsed.error.issues[0]?.message ?? 'is wrong'}.`);
  }
  if (mistakes.length > 0) {
    throw new ConfigError(['The configuration has mistakes:', ...mistakes].join('\n  '));
  }
  return values as Pick<Values, Name>;
}
