import type { Database } from '../../db/database';
import { query, read, sql, type Query } from '../../db/query';
import type { ConnectionRecord } from '../../model/connection-record';
import { toBinary, type ApplicationId, type ConnectionId } from '../../model/ids';
import { ServiceError } from '../../model/problems';
import { readSurely } from '../surely';
import { concerns, connectionColumns, connectionOf, type ConnectionRow } from './rows';

/**
 * A connection or proposal.
 *
 * @param applicationId the application that must be one of its sides; undefined: whoever they are.
 */
export function connectionById(
  id: ConnectionId,
  applicationId: ApplicationId | undefined,
): Query<ConnectionRecord | undefined> {
  const { sql: owned, bindings } = applicationId ? concerns(applicationId) : sql('TRUE');
  return query(
    sql(
      `SELECT ${connectionColumns.join(', ')} FROM session_connections
       WHERE id = ? AND ${owned}`,
      toBinary(id),
      ...bindings,
    ),
    ([row]: ConnectionRow[]) => row && connectionOf(row),
  );
}

/** A connection or proposal, for an operator, who may see all of them. */
export function findConnection(
  db: Database,
  id: ConnectionId,
): Promise<ConnectionRecord | undefined> {
  return read(db, connectionById(id, undefined));
}

/**
 * A connection or proposal of an application. No lock is taken, so those of others are not delayed.
 *
 * @throws ServiceError with CONNECTION_NOT_FOUND if there is none.
 */
export async function requireConnection(
  db: Database,
  connectionId: ConnectionId,
  applicationId: ApplicationId,
): Promise<ConnectionRecord> {
  const wanted = connectionById(connectionId, applicationId);
  const found = await readSurely(db, (from) => read(from, wanted));
  if (found) return found;
  throw new ServiceError({ reason: 'CONNECTION_NOT_FOUND', connectionId });
}
