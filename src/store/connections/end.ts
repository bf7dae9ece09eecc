import type { MultiDatabase } from '../../db/database';
import { read, writeTogether } from '../../db/query';
import { inTransaction } from '../../db/transaction';
import { standingOf, type ConnectionRecord } from '../../model/connection-record';
import type { ConnectionId } from '../../model/ids';
import { must } from '../../model/must';
import { requireWritable } from '../session-numbers';
import { changeBy, endLocked, lockConnections, written, type ConnectionChanger } from './change';
import { recordConnectionEvents } from './events';

/**
 * Ends a connection, or declines or withdraws a proposal. If it has ended or expired, nothing is changed.
 *
 * An import that rests on the connection writes the same row (`markUsed`). So it has been committed before this, or
 * it finds that the connection has ended.
 *
 * @param id of a connection that was found, and that belongs to the application that the change is for.
 */
export function endConnection(
  db: MultiDatabase,
  id: ConnectionId,
  changer: ConnectionChanger,
): Promise<ConnectionRecord> {
  return inTransaction(db, async (trx) => {
    const locked = await read(trx, lockConnections([id]));
    const found = must(locked.get(id), 'a connection, which is never deleted');
    const change = changeBy(changer);
    if (standingOf(found, change.at).state === 'ended') {
      await requireWritable(trx);
      return found;
    }
    await writeTogether(trx, [
      endLocked(id, change),
      recordConnectionEvents(change.at, ['connection_ended', found]),
    ]);
    return written(trx, id);
  });
}
