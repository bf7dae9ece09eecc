import { readDatabaseAddress } from '../config';
import { openDatabase } from '../db/connection';
import type { Database } from '../db/database';

/** Long enough for a migration to wait for a table that is in use. */
const lockWaitSeconds = 50;

/** Runs a command's work on the database that `DATABASE_URL` names. */
export async function withDatabase<T>(work: (db: Database) => Promise<T>): Promise<T> {
  const db = openDatabase({ ...readDatabaseAddress(process.env), poolSize: 2, lockWaitSeconds });
  try {
    return await work(db);
  } finally {
    await db.destroy();
  }
}
