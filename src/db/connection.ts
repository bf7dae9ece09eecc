import type { Socket } from 'node:net';
import { knex, type Knex } from 'knex';
import type { Connection } from 'mysql2';
import type { LastGood } from '../files/last-good';
import { targetOf, type DatabaseAddress, type Target } from './address';
import type { Database, MultiDatabase, ParsingDatabase, TextDatabase } from './database';
import { NotConnected, silence, UnfitServer } from './errors';
import { migrations } from './migrations';
import { setSession, type SessionLimits } from './session-settings';
import { TracedClient } from './traced-client';

/** How to reach the database, and how much of it to use. */
export interface DatabaseOptions extends DatabaseAddress, SessionLimits {
  /** Where new connections go, if that may change; undefined: always to the same address. */
  readonly target?: LastGood<Target>;
  /** The most connections held at once. */
  readonly poolSize: number;
  /**
   * How long a connection is used, in seconds; up to a fifth of that is random, so that connections do not end
   * at the same time. Undefined: for ever.
   */
  readonly maxAgeSeconds?: number;
  /**
   * The read timeout: how long the server may take to answer a statement, in seconds; then the connection is
   * closed. Undefined: no timeout, for migrations.
   */
  readonly readTimeoutSeconds?: number;
}

/** How long to wait for a new connection or for a free one, in milliseconds. */
const connectTimeout = 5_000;

/** Knex prints nothing: it throws the same errors, and its messages quote SQL with the values. */
const silent: Knex.Logger = {
  debug: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  deprecate: () => undefined,
};

/** The settings in which the connections of the pools differ. */
interface Purpose {
  readonly multi: boolean;
  readonly texts: boolean;
}

/** The Knex configuration: what the service, the command line and the plain `knex` command share. */
export function databaseConfig(
  options: DatabaseOptions,
  purpose: Purpose = { multi: false, texts: false },
): Knex.Config {
  const target = options.target ?? { current: targetOf(options), refresh: () => Promise.resolve() };
  return {
    client: TracedClient,
    connection: async () => {
      await target.refresh();
      return {
        ...target.current,
        charset: 'utf8mb4',
        timezone: 'Z',
        ...(purpose.texts ? { dateStrings: ['DATE' as const], jsonStrings: true } : {}),
        // An object given as a value becomes a string and never a piece of SQL.
        stringifyObjects: true,
        multipleStatements: purpose.multi,
        // Nothing is prepared, but the driver sets memory aside for 16,000 statements on each connection.
        maxPreparedStatements: 1,
        connectTimeout,
      };
    },
    acquireConnectionTimeout: connectTimeout,
    // Errors quote a statement without the values that were bound to it.
    compileSqlOnError: false,
    pool: {
      min: 0,
      max: options.poolSize,
      ...lifetime(options.maxAgeSeconds),
      afterCreate(
        connection: Connection,
        done: (error: Error | null, connection: Connection) => void,
      ) {
        prepareSession(connection, options).then(
          () => {
            done(null, connection);
          },
          (error: unknown) => {
            connection.destroy();
            const unfit = error instanceof UnfitServer;
            done(unfit ? error : new NotConnected(error as Error), connection);
          },
        );
      },
    },
    migrations: { migrationSource: migrations },
    log: silent,
  };
}

function lifetime(maxAgeSeconds: number | undefined): Knex.PoolConfig {
  if (maxAgeSeconds === undefined) return {};
  const milliseconds = maxAgeSeconds * 1_000;
  return {
    maxConnectionLifetimeMillis: milliseconds * 0.8,
    maxConnectionLifetimeJitterMillis: milliseconds * 0.2,
  };
}

/** Opens a pool of connections; nothing is connected before the first query. */
export function openDatabase(options: DatabaseOptions): ParsingDatabase {
  return knex(databaseConfig(options)) as ParsingDatabase;
}

/** Opens a pool like {@link openDatabase}, for several statements at once. */
export function openMultiDatabase(options: DatabaseOptions): MultiDatabase & ParsingDatabase {
  return knex(databaseConfig(options, { multi: true, texts: false })) as MultiDatabase &
    ParsingDatabase;
}

/** Opens a pool like {@link openMultiDatabase}, which reads dates and JSON as texts. */
export function openTextDatabase(options: DatabaseOptions): TextDatabase {
  return knex(databaseConfig(options, { multi: true, texts: true })) as TextDatabase;
}

/**
 * How many connections of a pool are used, how many are idle, and how many callers wait for one.
 */
export interface PoolUse {
  readonly used: number;
  readonly idle: number;
  readonly waiters: number;
}

/** Counts the connections of a database's pool. */
export function poolUse(db: Database): PoolUse {
  const { pool } = db.client as {
    readonly pool?: { numUsed(): number; numFree(): number; numPendingAcquires(): number };
  };
  // A database that is being closed has none.
  if (!pool) return { used: 0, idle: 0, waiters: 0 };
  return { used: pool.numUsed(), idle: pool.numFree(), waiters: pool.numPendingAcquires() };
}

/** Has the pool make new connections: each old one is closed before its next use. Running statements finish. */
export function retireConnections(db: Database): void {
  (db.client as TracedClient).retireConnections();
}

async function prepareSession(connection: Connection, options: DatabaseOptions): Promise<void> {
  if (options.readTimeoutSeconds !== undefined)
    limitReadTime(connection, options.readTimeoutSeconds);
  await setSession(connection.promise(), options);
}

/**
 * Closes a connection on which nothing has arrived for the read timeout. A server that hangs, or a
 * network that loses packets, must not block a worker for ever. Covers every statement, also
 * COMMIT.
 */
function limitReadTime(connection: Connection, seconds: number): void {
  const { stream } = connection as unknown as { readonly stream: Socket };
  stream.setTimeout(seconds * 1_000, () => {
    stream.destroy(Object.assign(new Error('MySQL has not answered in time'), { code: silence }));
  });
}
