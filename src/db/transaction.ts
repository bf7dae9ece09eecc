import type { Knex } from 'knex';
import type { Database, TransactionOf } from './database';

/**
 * Runs work in a transaction, at READ COMMITTED, as connections are set to.
 *
 * @throws the error that the work throws. If the connection is lost, Knex would report that the
 * rollback failed, and hide why it was needed.
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
 * Runs reads on one consistent snapshot, without locks (MySQL 8.4 manual, section 17.7.2.3). It is
 * not marked READ ONLY: together with an isolation level, Knex would leave out the comma that MySQL
 * needs.
 */
export function atOneMoment<D extends Database, T>(
  db: D,
  work: (trx: TransactionOf<D>) => Promise<T>,
): Promise<T> {
  return inTransaction(db, work, { isolationLevel: 'repeatable read' });
}
