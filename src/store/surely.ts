import type { Database, TransactionOf } from '../db/database';
import { inTransaction } from '../db/transaction';
import { requireWritable } from './session-numbers';

/**
 * Reads something that the caller is refused for if it is missing. A connection may lead to an old primary or to
 * a replica, which lacks what was written elsewhere. So before something counts as missing, it is read again after
 * a proof that the server takes writes. If it is there, this costs no more than a plain read.
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
