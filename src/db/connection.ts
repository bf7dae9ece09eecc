import { knex, type Knex } from 'knex';
import type { Connection } from 'mysql2';
import { migrations } from './migrations';

/** How to reach the database, and how much of it to use. */
export interface DatabaseOptions {
  /** `mysql://user:password@host:port/database`. */
  readonly url: string;
  /** The most connections held at once. */
  readonly poolSize: number;
  /** How long a statement waits for a row lock, in seconds: MySQL takes whole ones, at least 1. */
  readonly lockWaitSeconds: number;
}

export type Database = Knex;

/** How long to wait for a connection, made or freed, in milliseconds. */
const connectTimeout = 5_000;

/**
 * What every connection is set to, whatever the server's defaults are. READ COMMITTED is set here
 * and not per transaction, which would cost a round trip each.
 */
const sessionSettings = [
  'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
  "SET SESSION time_zone = '+00:00'",
  "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,NO_ZERO_DATE,NO_ZERO_IN_DATE'",
];

/** What Knex would print, it throws as well; and its texts quote SQL with the values in it. */
const silent: Knex.Logger = {
  debug: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  deprecate: () => undefined,
};

/** The Knex configuration: what the service, the command line and the plain `knex` command share. */
export function databaseConfig(options: DatabaseOptions): Knex.Config {
  return {
    client: 'mysql2',
    connection: {
      uri: options.url,
      charset: 'utf8mb4',
      timezone: 'Z',
      // An object given as a value becomes a string and never a piece of SQL.
      stringifyObjects: true,
      connectTimeout,
    },
    acquireConnectionTimeout: connectTimeout,
    pool: {
      min: 0,
      max: options.poolSize,
      afterCreate(
        connection: Connection,
        done: (error: Error | null, connection: Connection) => void,
      ) {
        const lockWait = `SET SESSION innodb_lock_wait_timeout = ${connection.escape(options.lockWaitSeconds)}`;
        prepareSession(connection, [...sessionSettings, lockWait]).then(
          () => {
            done(null, connection);
          },
          (error: unknown) => {
            done(error as Error, connection);
          },
        );
      },
    },
    migrations: { migrationSource: migrations },
    log: silent,
  };
}

/** Opens a pool of connections; nothing is connected before the first query. */
export function openDatabase(options: DatabaseOptions): Database {
  return knex(databaseConfig(options));
}

async function prepareSession(
  connection: Connection,
  statements: readonly string[],
): Promise<void> {
  for (const statement of statements) await connection.promise().query(statement);
}
