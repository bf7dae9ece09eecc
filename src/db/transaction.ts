import type { Knex } from 'knex';
import type { Database, TransactionOf } from './database';

/**
 * Runs work in a transaction, at READ COMMITTED, as connections are set to.
 *
 * @throws what the work throws. When a connection is lost, Knex would report that it could not roll
 * back, and not why it had to.
 */
export async function inTransaction<D extends Database, T>(
  db: D,
  work: (trx: TransactionOf<D>) => Promise<T>,
  config?: Knex.TransactionConfig,
): Promise<T> {
  let failed: { readonly cause: unknown } | undefined;
  try {
    return await db.transaction(async (trx) => {
      try {
        return await work(trx as TransactionOf<D>);
      } catch (cause) {
        failed = { cause };
        throw cause;
      }
    }, config);
  } catch (error) {
    throw failed ? failed.cause : error;
  }
}

/**
 * Lets all that is read be of one moment, without a lock (MySQL 8.4 manual, section 17.7.2.3). Not said
 * to be READ ONLY: beside an isolation level, Knex writes that without the comma that MySQL wants.
 */
export function atOneMoment<D extends Database, T>(
  db: D,
  work: (trx: TransactionOf<D>) => Promise<T>,
): Promise<T> {
  return inTransaction(db, work, { isolationLevel: 'repeatable read' });
}
