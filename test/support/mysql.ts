import { randomBytes } from 'node:crypto';
import { createConnection } from 'mysql2/promise';
import { startMysql, type MysqlServer } from '../../scripts/mysql/server';
import { openDatabase } from '../../src/db/connection';
import type { Database } from '../../src/db/database';

let server: MysqlServer | undefined;
const created: string[] = [];

/** The address of a database that every test shares; tests keep apart by having own applications. */
export function databaseUrl(): string {
  const url = process.env['TEST_DATABASE_URL'];
  if (!url) throw new Error('MySQL has not been started');
  return url;
}

/** Makes an empty database of its own on the test server, and returns its address. */
export async function createEmptyDatabase(): Promise<string> {
  if (!server) throw new Error('MySQL has not been started');
  const url = new URL(server.url);
  const name = `session_import_test_${randomBytes(6).toString('hex')}`;
  const connection = await createConnection(server.url);
  await connection.query('CREATE DATABASE ?? CHARACTER SET utf8mb4 COLLATE utf8mb4_bin', [name]);
  await connection.end();
  created.push(name);
  url.pathname = `/${name}`;
  return url.href;
}

/** Opens a database with the service's own settings. */
export function open(url: string): Database {
  return openDatabase({ url, poolSize: 20, lockWaitSeconds: 10 });
}

/** Mocha runs this once, before the first test. */
export async function mochaGlobalSetup(): Promise<void> {
  server = await startMysql();
  const url = await createEmptyDatabase();
  process.env['TEST_DATABASE_URL'] = url;
  const db = open(url);
  await db.migrate.latest();
  await db.destroy();
}

/** Mocha runs this once, after the last test. */
export async function mochaGlobalTeardown(): Promise<void> {
  if (!server) return;
  const connection = await createConnection(server.url);
  for (const name of created) await connection.query('DROP DATABASE ??', [name]);
  await connection.end();
  await server.stop();
}
