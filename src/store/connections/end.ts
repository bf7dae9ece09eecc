import type { Database } from '../../db/database';
import { read, write } from '../../db/query';
import { inTransaction } from '../../db/transaction';
import { standingOf, type ConnectionRecord } from '../../model/connection-record';
import type { ConnectionId } from '../../model/ids';
import { must } from '../../model/must';
import { requireWritable } from '../session-numbers';
import { endLocked, lockConnections, written, type ConnectionChange } from './change';

/**
 * Ends a connection, or declines or withdraws a proposal. If it has ended or expired, nothing is changed.
 *
 * An import that rests on the connection writes the same row (`markUsed`). So it has been committed before this, or
 * it finds that the connection has ended.
 *
 * @param id of a connection that was found, and that belongs to the application that the change is for.
 */
export function endConnection(
  db: Database,
  id: ConnectionId,
  change: ConnectionChange,
): Promise<ConnectionRecord> {
  return inTransaction(db, async (trx) => {
    const locked = await read(trx, lockConnections([id]));
    const found = must(locked.get(id), 'a connection, which is never deleted');
    if (standingOf(found, change.at).state === 'ended') {
      await requireWritable(trx);
      return found;
    }
    await write(trx, endLocked(id, change));
    return written(trx, id);
  });
}
