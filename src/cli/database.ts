import { readDatabaseAddress } from '../config';
import { openDatabase, openMultiDatabase, type DatabaseOptions } from '../db/connection';
import type { Database, MultiDatabase } from '../db/database';

/** Long enough for a migration to wait for a table that is in use. */
const lockWaitSeconds = 50;

/** Runs a command's work on the database that `DATABASE_URL` names. */
export function withDatabase<T>(work: (db: Database) => Promise<T>): Promise<T> {
  return withPool(openDatabase, work);
}

/** The same, for work that needs several statements in one round trip. */
export function withMultiDatabase<T>(work: (db: MultiDatabase) => Promise<T>): Promise<T> {
  return withPool(openMultiDatabase, work);
}

async function withPool<D extends Database, T>(
  open: (options: DatabaseOptions) => D,
  work: (db: D) => Promise<T>,
): Promise<T> {
  const db = open({ ...readDatabaseAddress(process.env), poolSize: 2, lockWaitSeconds });
  try {
    return await work(db);
  } finally {
    await db.destroy();
  }
}
