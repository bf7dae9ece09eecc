import type { Database, TransactionOf } from '../db/database';
import { inTransaction } from '../db/transaction';
import { requireWritable } from './session-numbers';

/**
 * Reads something whose absence is told as final. A connection may lead to a server that was a primary, or
 * will be one, and lacks what was written elsewhere. So before something counts as missing, it is read again
 * behind the proof that its server takes writes. What is there costs no more than a plain read.
 *
 * @param missing whether a result says that something is not there; by default, whether there is none.
 * @throws the database's error if the server takes no writes.
 */
export async function readSurely<D extends Database, T>(
  db: D,
  work: (db: D | TransactionOf<D>) => Promise<T>,
  missing: (result: T) => boolean = (result) => !result,
): Promise<T> {
  const result = await work(db);
  if (!missing(result)) return result;
  return inTransaction(db, async (trx) => {
    await requireWritable(trx);
    return work(trx);
  });
}
