import type { MultiDatabase } from '../../db/database';
import { read, sql, writeTogether, type Statement } from '../../db/query';
import { inTransaction } from '../../db/transaction';
import { standingOf, type ConnectionRecord } from '../../model/connection-record';
import { toBinary, type ConnectionId } from '../../model/ids';
import { must } from '../../model/must';
import { ServiceError } from '../../model/problems';
import { actorBindings } from '../actor-columns';
import { requireWritable } from '../session-numbers';
import { activeId } from './active';
import {
  changeBy,
  endReplaced,
  lockConnections,
  unlessOvertaken,
  written,
  type ConnectionChange,
  type ConnectionChanger,
} from './change';
import { recordConnectionEvents } from './events';

/**
 * Accepts a proposal, which replaces the active connection of the pair. If it is active already, nothing is changed.
 * If it was found active, nothing is locked either, so that imports which rest on it need not wait.
 *
 * @param proposal as it was found: of the application, and made by the other side or an operator.
 * @returns the active connection.
 * @throws ServiceError with CONNECTION_ENDED if it has ended or expired.
 */
export async function acceptConnection(
  db: MultiDatabase,
  proposal: ConnectionRecord,
  changer: ConnectionChanger,
): Promise<ConnectionRecord> {
  const { id } = proposal;
  if (proposal.active) {
    await requireWritable(db);
    return proposal;
  }
  return inTransaction(db, async (trx) => {
    const active = await activeId(trx, proposal);
    const locked = await read(trx, lockConnections(active ? [id, active] : [id]));
    const found = must(locked.get(id), 'a connection, which is never deleted');
    const change = changeBy(changer);
    const { state } = standingOf(found, change.at);
    if (state === 'ended') throw new ServiceError({ reason: 'CONNECTION_ENDED', connectionId: id });
    if (state === 'active') {
      await requireWritable(trx);
      return found;
    }
    const replaced = endReplaced(active, locked, change, id);
    await unlessOvertaken(() =>
      writeTogether(trx, [
        ...replaced.statements,
        activate(id, change),
        recordConnectionEvents(change.at, ...replaced.events, ['connection_accepted', found]),
      ]),
    );
    return written(trx, id);
  });
}

function activate(id: ConnectionId, change: ConnectionChange): Statement {
  return sql(
    `UPDATE session_connections FORCE INDEX (PRIMARY)
     SET open = NULL, active = 1, accepted_by_api_key_id = ?, accepted_by_gateway = ?, accepted_at = ?
     WHERE id = ?`,
    ...actorBindings(change.actor),
    change.at,
    toBinary(id),
  );
}
