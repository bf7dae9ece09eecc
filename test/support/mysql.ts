import { randomBytes } from 'node:crypto';
import { createConnection, type RowDataPacket } from 'mysql2/promise';
import { startMysql, type MysqlServer } from '../../scripts/mysql/server';
import { openDatabase } from '../../src/db/connection';
import type { Database } from '../../src/db/database';

/** What is committed need not outlive the machine, nor need anybody measure the server. */
export const quick = [
  ...['--innodb-flush-log-at-trx-commit=2', '--sync-binlog=0', '--innodb-flush-method=nosync'],
  '--performance-schema=OFF',
];

let server: MysqlServer | undefined;
let sharedUrl: string | undefined;
let leastUrl: string | undefined;

/** The address of a database that every test shares; tests keep apart by having own applications. */
export function databaseUrl(): string {
  if (sharedUrl === undefined) throw new Error('MySQL has not been started');
  return sharedUrl;
}

/** The same database, for a user with no more rights than the service needs (docs/security.md). */
export function serviceUrl(): string {
  if (leastUrl === undefined) throw new Error('MySQL has not been started');
  return leastUrl;
}

/** Makes an empty database of its own on the test server, and returns its address. */
export async function createEmptyDatabase(characters = 'utf8mb4'): Promise<string> {
  if (!server) throw new Error('MySQL has not been started');
  const url = new URL(server.url);
  const name = `${namesOfThisRun()}${randomBytes(6).toString('hex')}`;
  const connection = await createConnection(server.url);
  await connection.query('CREATE DATABASE ?? CHARACTER SET ?? COLLATE ??', [
    name,
    characters,
    `${characters}_bin`,
  ]);
  await connection.end();
  url.pathname = `/${name}`;
  return url.href;
}

/**
 * Makes a database like the one that every test shares, but without rows, and returns its address. The
 * finished tables are made in a third of the time that the migrations take.
 */
export async function createMigratedDatabase(): Promise<string> {
  const url = await createEmptyDatabase();
  const shared = new URL(databaseUrl()).pathname.slice(1);
  const connection = await createConnection(url);
  // Tables come before those that they refer to.
  await connection.query('SET foreign_key_checks = 0');
  const [tables] = await connection.query<RowDataPacket[]>('SHOW TABLES FROM ??', [shared]);
  for (const name of tables.flatMap((row) => Object.values(row) as string[])) {
    const [[made]] = await connection.query<RowDataPacket[]>('SHOW CREATE TABLE ??.??', [
      shared,
      name,
    ]);
    await connection.query(String(made?.['Create Table']));
  }
  await connection.query('INSERT INTO knex_migrations SELECT * FROM ??.knex_migrations', [shared]);
  await connection.query('INSERT INTO knex_migrations_lock SELECT * FROM ??.knex_migrations_lock', [
    shared,
  ]);
  await connection.end();
  return url;
}

/** What the names of all databases start with that this run makes, in whichever process. */
function namesOfThisRun(): string {
  return `session_import_test_${process.env['TEST_RUN'] ?? ''}_`;
}

/** Opens a database with the service's own settings. */
export function open(url: string): Database {
  return openDatabase({ url, poolSize: 20, lockWaitSeconds: 10 });
}

/** Mocha runs this once, before it runs tests or starts the processes that do. */
export function mochaGlobalSetup(): void {
  process.env['TEST_RUN'] = randomBytes(4).toString('hex');
}

/** Every process that runs tests has a server of its own, unless all of them share the user's. */
export const mochaHooks = {
  /** Mocha runs this before the first test of each file that it hands to a process. */
  async beforeAll(): Promise<void> {
    if (server) return;
    server = await startMysql({ mysqldArguments: [...quick] });
    sharedUrl = await createEmptyDatabase();
    const db = open(sharedUrl);
    await db.migrate.latest();
    // Every process has its own, in the 32 characters that MySQL allows.
    const name = (process.pid % 4096).toString(16);
    leastUrl = await createUser(db, sharedUrl, name, serviceRights);
    await db.destroy();
  },
};

/** What the service's database user may do, and that of the job that prunes (docs/deployment.md). */
const serviceRights = 'SELECT, INSERT, UPDATE';
const pruneRights = 'SELECT, INSERT, UPDATE, DELETE';

/** The address of a database for a user with no more rights than `prune` needs. */
export function createPruneUser(db: Database, address: string): Promise<string> {
  return createUser(db, address, `p${(process.pid % 256).toString(16)}`, pruneRights);
}

/** Makes a user with some rights in a database, and returns the database's address for that user. */
async function createUser(
  db: Database,
  address: string,
  name: string,
  rights: string,
): Promise<string> {
  const url = new URL(address);
  const user = `${namesOfThisRun()}${name}`;
  const password = randomBytes(16).toString('hex');
  await db.raw('DROP USER IF EXISTS ?@?', [user, '%']);
  await db.raw('CREATE USER ?@? IDENTIFIED BY ?', [user, '%', password]);
  await db.raw(`GRANT ${rights} ON ??.* TO ?@?`, [url.pathname.slice(1), user, '%']);
  return Object.assign(url, { username: user, password }).href;
}

/** Mocha runs this once, after the last test. */
export async function mochaGlobalTeardown(): Promise<void> {
  const url = process.env['DATABASE_URL'];
  if (url) await dropDatabases(url);
  // One that another process has started is gone with that process.
  await server?.stop();
}

/** Drops the databases of this run, and its users. */
async function dropDatabases(url: string): Promise<void> {
  const connection = await createConnection(url);
  const [made] = await connection.query<RowDataPacket[]>(
    'SELECT SCHEMA_NAME AS name FROM information_schema.SCHEMATA WHERE LEFT(SCHEMA_NAME, ?) = ?',
    [namesOfThisRun().length, namesOfThisRun()],
  );
  for (const { name } of made) await connection.query('DROP DATABASE ??', [name]);
  const [users] = await connection.query<RowDataPacket[]>(
    'SELECT user AS name FROM mysql.user WHERE LEFT(user, ?) = ?',
    [namesOfThisRun().length, namesOfThisRun()],
  );
  for (const { name } of users) await connection.query('DROP USER ?@?', [name, '%']);
  await connection.end();
}
