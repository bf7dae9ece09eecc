import { isIP } from 'node:net';
import type { DatabaseAddress } from '../db/address';
import type { DatabaseOptions } from '../db/connection';
import { readRegularFileSync } from '../files/regular-file';
import type { QueueOptions } from '../import/queue';
import type { Rate } from '../model/rate';
import type { LogOptions } from '../telemetry/log';
import { variables, type Values, type Variable, type VariableName } from './variables';

export { variables };

/** Everything that the service is told from outside. */
export interface Config {
  readonly grpc: GrpcConfig;
  readonly database: DatabaseConfig;
  /** The path of a JWK Set, or its https URL. */
  readonly shareTokenJwks: string;
  /** The path of the private JWK that share tokens are signed with; undefined: none are. */
  readonly shareTokenSigningKey: string | undefined;
  /** How far ahead the clocks of token signers may be, in seconds. */
  readonly shareTokenClockSkew: number;
  /** What a session's URL starts with, without a slash at the end. */
  readonly sessionBaseUrl: string;
  /** Whether sharing and importing need an active connection of the two applications. */
  readonly requireConnections: boolean;
  /** Names in client certificates that may act for any application, as `URI:…` or `DNS:…`. */
  readonly trustedGateways: ReadonlySet<string>;
  readonly queue: QueueOptions;
  /** The pause between two looks for new events, in milliseconds. */
  readonly eventInterval: number;
  /** The pause between two steps of the sweeps for changed and deleted sources, in seconds. */
  readonly sweepInterval: number;
  /** The rate limit of each application; undefined: there is none. */
  readonly rateLimit: Rate | undefined;
  /** How long calls that run may take to finish once the service was told to stop, in seconds. */
  readonly shutdownGrace: number;
  /** `host:port` of the HTTP server for metrics and probes; undefined: there is none. */
  readonly metricsAddress: string | undefined;
  readonly log: LogOptions;
}

/** Where the database is, how it is talked to, and for how long. */
export interface DatabaseConfig extends Required<
  Pick<DatabaseOptions, 'url' | 'tls' | 'lockWaitSeconds' | 'readTimeoutSeconds' | 'maxAgeSeconds'>
> {
  /** The file that `url` is from; undefined: it is from the environment. */
  readonly urlFile: string | undefined;
}

/** How the gRPC server listens, and its limits. */
export interface GrpcConfig {
  /** `host:port` to listen on; port 0 takes a free one. */
  readonly address: string;
  /** Undefined: plain text. */
  readonly tls: TlsConfig | undefined;
  /** How long a client may be silent before it is asked for a sign of life, in seconds. */
  readonly keepalive: number;
  /** How long a connection is kept, in seconds; 0: for ever. */
  readonly maxConnectionAge: number;
  /** How many connections there may be. */
  readonly maxConnections: number;
  /** How many calls a connection carries at the same time. */
  readonly maxConcurrentStreams: number;
  /** How long a client may take to send a request that it has begun, in seconds. */
  readonly requestTimeout: number;
}

/** Paths of the PEM files that the gRPC server's TLS is made of. */
export interface TlsConfig {
  readonly certificate: string;
  readonly privateKey: string;
  /** Undefined: clients are not asked for certificates. */
  readonly clientCa: string | undefined;
  readonly clientCertificate: 'required' | 'optional';
}

/** The environment variables have mistakes; the message lists all of them. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';

  constructor(mistakes: readonly string[]) {
    super(['The configuration has mistakes:', ...mistakes].join('\n  '));
  }
}

/**
 * Reads the configuration of the service.
 *
 * @throws ConfigError listing every variable that is missing or wrong. Values are not repeated: some
 * are secret.
 */
export function readConfig(environment: NodeJS.ProcessEnv): Config {
  const values = readVariables(
    environment,
    Object.keys(variables) as VariableName[],
    talkative(environment),
  );
  return {
    grpc: {
      address: values.GRPC_ADDRESS,
      tls: tlsConfig(values),
      keepalive: values.GRPC_KEEPALIVE,
      maxConnectionAge: values.GRPC_MAX_CONNECTION_AGE,
      maxConnections: values.GRPC_MAX_CONNECTIONS,
      maxConcurrentStreams: values.GRPC_MAX_CONCURRENT_STREAMS,
      requestTimeout: values.GRPC_REQUEST_TIMEOUT,
    },
    database: {
      ...databaseAddress(values),
      urlFile: fileOf(environment, 'DATABASE_URL'),
      lockWaitSeconds: values.DATABASE_LOCK_WAIT,
      readTimeoutSeconds: values.DATABASE_SILENCE,
      maxAgeSeconds: values.DATABASE_CONNECTION_AGE,
    },
    shareTokenJwks: values.SHARE_TOKEN_JWKS,
    shareTokenSigningKey: values.SHARE_TOKEN_SIGNING_KEY,
    shareTokenClockSkew: values.SHARE_TOKEN_CLOCK_SKEW,
    sessionBaseUrl: values.SESSION_BASE_URL,
    requireConnections: values.REQUIRE_CONNECTIONS,
    trustedGateways: new Set(values.TRUSTED_GATEWAYS),
    queue: {
      workers: values.IMPORT_WORKERS,
      groupSize: values.IMPORT_GROUP_SIZE,
      groupRows: values.IMPORT_GROUP_ROWS,
      limit: values.IMPORT_QUEUE_LIMIT,
    },
    eventInterval: values.EVENT_INTERVAL,
    sweepInterval: values.SOURCE_SWEEP_INTERVAL,
    rateLimit:
      values.RATE_LIMIT === 0
        ? undefined
        : { perSecond: values.RATE_LIMIT, burst: values.RATE_LIMIT_BURST },
    shutdownGrace: values.SHUTDOWN_GRACE,
    metricsAddress: values.METRICS_ADDRESS,
    log: { level: values.LOG_LEVEL, format: values.LOG_FORMAT },
  };
}

/**
 * Reads how much to log, and how, for a command that logs and is not the service.
 *
 * @throws ConfigError
 */
export function readLogOptions(environment: NodeJS.ProcessEnv): LogOptions {
  const values = readVariables(environment, ['LOG_LEVEL', 'LOG_FORMAT'], talkative(environment));
  return { level: values.LOG_LEVEL, format: values.LOG_FORMAT };
}

/**
 * Reads what the commands that only talk to the database need.
 *
 * @throws ConfigError
 */
export function readDatabaseAddress(environment: NodeJS.ProcessEnv): DatabaseAddress {
  return databaseAddress(
    readVariables(environment, ['DATABASE_URL', 'DATABASE_TLS', 'DATABASE_TLS_CA']),
  );
}

/**
 * Where the database is now: its address is read again if it is from a file.
 *
 * @throws Error that says what is wrong with the file, and not what is in it.
 */
export function currentAddress({ url, tls, urlFile }: DatabaseConfig): DatabaseAddress {
  if (urlFile === undefined) return { url, tls };
  return { url: readVariable({ DATABASE_URL_FILE: urlFile }, 'DATABASE_URL') as string, tls };
}

function databaseAddress(
  values: Pick<Values, 'DATABASE_URL' | 'DATABASE_TLS' | 'DATABASE_TLS_CA'>,
): Required<DatabaseAddress> {
  return {
    url: values.DATABASE_URL,
    tls: { mode: values.DATABASE_TLS, caFile: values.DATABASE_TLS_CA },
  };
}

function tlsConfig(values: Values): TlsConfig | undefined {
  const { GRPC_TLS_CERT: certificate, GRPC_TLS_KEY: privateKey } = values;
  if (certificate === undefined || privateKey === undefined) return undefined;
  return {
    certificate,
    privateKey,
    clientCa: values.GRPC_TLS_CLIENT_CA,
    clientCertificate: values.GRPC_TLS_CLIENT_AUTH ?? 'required',
  };
}

/** Rules between variables. A variable that is missing or wrong by itself is undefined here. */
const rules: readonly ((values: Partial<Values>) => string | false | undefined)[] = [
  ({ DATABASE_SILENCE: silence = Infinity, DATABASE_LOCK_WAIT: wait = 0 }) =>
    silence < wait * 2 &&
    'DATABASE_SILENCE must be at least twice DATABASE_LOCK_WAIT, or a lock looks like a database that is gone.',
  ({ DATABASE_TLS: tls, DATABASE_TLS_CA: ca }) =>
    tls === 'off' && ca !== undefined && 'DATABASE_TLS_CA has no effect: set DATABASE_TLS as well.',
  ({ DATABASE_TLS: tls, DATABASE_TLS_CA: ca }) =>
    tls === 'verify-ca' &&
    ca === undefined &&
    'DATABASE_TLS=verify-ca needs DATABASE_TLS_CA: with every CA that Node.js knows, anybody can have a certificate.',
  ({ DATABASE_TLS: tls, DATABASE_URL: url }) =>
    tls === 'verify-full' &&
    url !== undefined &&
    isIP(new URL(url).hostname.replace(/^\[|\]$/g, '')) !== 0 &&
    'DATABASE_TLS=verify-full needs a host name in DATABASE_URL: there is no name to check in an IP address.',
  ({ GRPC_TLS_CERT: certificate, GRPC_TLS_KEY: key }) =>
    (certificate === undefined) !== (key === undefined) &&
    'GRPC_TLS_CERT and GRPC_TLS_KEY go together: set both.',
  ({ GRPC_TLS_CLIENT_CA: ca, GRPC_TLS_CERT: certificate }) =>
    ca !== undefined &&
    certificate === undefined &&
    'GRPC_TLS_CLIENT_CA has no effect without GRPC_TLS_CERT.',
  ({ GRPC_TLS_CLIENT_AUTH: auth, GRPC_TLS_CLIENT_CA: ca }) =>
    auth !== undefined &&
    ca === undefined &&
    'GRPC_TLS_CLIENT_AUTH has no effect without GRPC_TLS_CLIENT_CA.',
  ({ TRUSTED_GATEWAYS: gateways, GRPC_TLS_CLIENT_CA: ca }) =>
    gateways !== undefined &&
    ca === undefined &&
    'TRUSTED_GATEWAYS needs GRPC_TLS_CLIENT_CA: a gateway shows who it is by its certificate.',
  ({ GRPC_ADDRESS: address, GRPC_TLS_CERT: certificate, GRPC_ALLOW_PLAINTEXT: allowed }) =>
    address !== undefined &&
    !isLoopback(address) &&
    certificate === undefined &&
    allowed === false &&
    'GRPC_ADDRESS is not on loopback, and API keys and share tokens would travel in plain text: set GRPC_TLS_CERT and GRPC_TLS_KEY, or GRPC_ALLOW_PLAINTEXT=true where something else encrypts.',
];

function isLoopback(address: string): boolean {
  const host = address.replace(/:\d+$/, '');
  return host === 'localhost' || host === '[::1]' || (host.startsWith('127.') && isIP(host) === 4);
}

/**
 * Variables that make Node.js and libraries print what they handle, such as API keys and personal data.
 * Node.js and the libraries read them before the service runs, so it can't switch them off.
 */
const talkativeVariables = ['NODE_DEBUG', 'NODE_DEBUG_NATIVE', 'DEBUG'];

/** A mistake for each variable that is set and must not be. */
function talkative(environment: NodeJS.ProcessEnv): string[] {
  return talkativeVariables
    .filter((name) => (environment[name] ?? '') !== '')
    .map((name) => `${name} is set, and would have secrets and personal data printed: unset it.`);
}

function readVariables<Name extends VariableName>(
  environment: NodeJS.ProcessEnv,
  names: readonly Name[],
  mistakes: string[] = [],
): Pick<Values, Name> {
  const values: Partial<Record<Name, unknown>> = {};
  const wrong = new Set<VariableName>();
  for (const name of names) {
    try {
      values[name] = readVariable(environment, name);
    } catch (error) {
      wrong.add(name);
      mistakes.push((error as Error).message);
    }
  }
  for (const rule of rules) {
    const mistake = rule(values);
    // A variable that is wrong by itself looks unset to the rule: no second message about it.
    if (mistake && ![...wrong].some((name) => mistake.includes(name))) mistakes.push(mistake);
  }
  if (mistakes.length > 0) throw new ConfigError(mistakes);
  return values as Pick<Values, Name>;
}

/** @throws Error with a sentence that says what is wrong with the variable, and never its value. */
function readVariable(environment: NodeJS.ProcessEnv, name: VariableName): unknown {
  const variable: Variable<unknown> = variables[name];
  const text = textOf(environment, name, variable) ?? variable.default;
  if (text === undefined) {
    if (variable.optional) return undefined;
    throw new Error(`${name} is not set. ${variable.description}.`);
  }
  const parsed = variable.schema.safeParse(text);
  if (!parsed.success) throw new Error(`${name} ${parsed.error.issues[0]?.message ?? 'is wrong'}.`);
  return parsed.data;
}

function textOf(
  environment: NodeJS.ProcessEnv,
  name: VariableName,
  { secret }: Variable<unknown>,
): string | undefined {
  // An empty variable counts as not set: deployments often unset a variable this way.
  const text = environment[name] === '' ? undefined : environment[name];
  const file = secret ? fileOf(environment, name) : undefined;
  if (file === undefined) return text;
  if (text !== undefined)
    throw new Error(`${name} and ${name}_FILE are both set: set one of them.`);
  try {
    // Editors and `echo` put a line feed at the end, which no value has.
    return readRegularFileSync(file).toString('utf8').trimEnd();
  } catch {
    throw new Error(`${name}_FILE names a file that can not be read.`);
  }
}

/** The file that a secret is in; undefined: none is named. */
function fileOf(environment: NodeJS.ProcessEnv, name: VariableName): string | undefined {
  const file = environment[`${name}_FILE`];
  return file === '' ? undefined : file;
}
