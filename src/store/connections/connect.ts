import type { MultiDatabase } from '../../db/database';
import { read, sql, writeTogether, type Statement } from '../../db/query';
import { inTransaction } from '../../db/transaction';
import type { ConnectionTerms } from '../../model/connection';
import type { ConnectionRecord } from '../../model/connection-record';
import { toBinary, type ConnectionId } from '../../model/ids';
import { requireApplication } from '../accounts';
import type { ConnectedPair } from '../../model/connection';
import { activeId } from './active';
import {
  changeBy,
  endReplaced,
  lockConnections,
  unlessOvertaken,
  written,
  type ConnectionChange,
} from './change';
import { recordConnectionEvents } from './events';
import { connectionById } from './find';
import { termsBindings, termsColumns } from './terms';

/** A connection that an operator makes. */
export interface OperatorConnection extends ConnectedPair {
  /** Made before the first try, so that a later one finds what an earlier one has written. */
  readonly id: ConnectionId;
  readonly terms: ConnectionTerms;
}

/**
 * Makes a connection that is active at once, and replaces the active one of the pair. It is safe to retry, because
 * the id stays the same.
 *
 * @throws Error if one of the applications does not exist.
 */
export function connectApplications(
  db: MultiDatabase,
  connection: OperatorConnection,
  clock: () => Date,
): Promise<ConnectionRecord> {
  const { id, sourceApplicationId, recipientApplicationId } = connection;
  return inTransaction(db, async (trx) => {
    const earlier = await read(trx, connectionById(id, undefined));
    if (earlier) return earlier;
    await requireApplication(trx, sourceApplicationId);
    await requireApplication(trx, recipientApplicationId);
    const active = await activeId(trx, connection);
    const locked = active ? await read(trx, lockConnections([active])) : new Map();
    const change = changeBy({ party: 'operator', actor: null, clock });
    const replaced = endReplaced(active, locked, change, id);
    await unlessOvertaken(() =>
      writeTogether(trx, [
        ...replaced.statements,
        insertActive(connection, change),
        recordConnectionEvents(change.at, ...replaced.events, ['connection_accepted', connection]),
      ]),
    );
    return written(trx, id);
  });
}

function insertActive(connection: OperatorConnection, { party, at }: ConnectionChange): Statement {
  return sql(
    `INSERT INTO session_connections
       (id, source_application_id, recipient_application_id, active, ${termsColumns.join(', ')},
        proposed_by, created_at, accepted_at)
     VALUES (?)`,
    [
      toBinary(connection.id),
      toBinary(connection.sourceApplicationId),
      toBinary(connection.recipientApplicationId),
      true,
      ...termsBindings(connection.terms),
      party,
      at,
      at,
    ],
  );
}
