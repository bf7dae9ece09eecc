import type { Database } from '../../db/database';
import { duplicateKey, Overtaken } from '../../db/errors';
import { query, read, sql, type Query, type Statement } from '../../db/query';
import type { ConnectionParty, ConnectionRecord } from '../../model/connection-record';
import { toBinary, type ConnectionId } from '../../model/ids';
import { must } from '../../model/must';
import type { Actor } from '../../model/session';
import { actorBindings } from '../actor-columns';
import { connectionById } from './find';
import { connectionColumns, connectionOf, type ConnectionRow } from './rows';

/*
 * How connections change. Every change locks the rows that it will write, by their primary keys and in key order. So
 * changes wait for each other, and can't deadlock. Each change first reads, without locks, which rows it will write. If
 * another change comes first, the unique keys refuse the write, and the change is tried again.
 */

/** Who changes a connection. */
export interface ConnectionChanger {
  readonly party: ConnectionParty;
  /** Who acted for the party; null: an operator, who is not on record by name. */
  readonly actor: Actor | null;
  /**
   * Its time is written if it was asked after the rows were locked. So no import that uses a connection is later than
   * the connection's end.
   */
  readonly clock: () => Date;
}

/** Who changes a connection, and when. */
export interface ConnectionChange extends Pick<ConnectionChanger, 'party' | 'actor'> {
  readonly at: Date;
}

/** What somebody asks for, at this moment. */
export function changeBy<Asked extends ConnectionChanger>({
  clock,
  ...asked
}: Asked): Omit<Asked, 'clock'> & { readonly at: Date } {
  return { ...asked, at: clock() };
}

/** Locks connections, and reads them as they are then. @param ids at least one. */
export function lockConnections(
  ids: readonly ConnectionId[],
): Query<ReadonlyMap<ConnectionId, ConnectionRecord>> {
  return query(
    sql(
      `SELECT ${connectionColumns.join(', ')} FROM session_connections FORCE INDEX (PRIMARY)
       WHERE id IN (?) ORDER BY id FOR UPDATE`,
      ids.map(toBinary),
    ),
    (rows: ConnectionRow[]) => new Map(rows.map(connectionOf).map((found) => [found.id, found])),
  );
}

/** Ends a connection, or declines or withdraws a proposal, that the transaction has locked. */
export function endLocked(
  id: ConnectionId,
  change: ConnectionChange,
  replacedBy: ConnectionId | null = null,
): Statement {
  return sql(
    `UPDATE session_connections FORCE INDEX (PRIMARY)
     SET open = NULL, active = NULL, ended_by = ?, ended_by_api_key_id = ?, ended_by_gateway = ?,
         ended_at = ?, replaced_by = ?
     WHERE id = ?`,
    change.party,
    ...actorBindings(change.actor),
    change.at,
    replacedBy && toBinary(replacedBy),
    toBinary(id),
  );
}

/** How a connection is replaced, and what is told of that: nothing, if there is none. */
export interface Replacement {
  readonly statements: readonly Statement[];
  readonly events: readonly (readonly ['connection_ended', ConnectionRecord])[];
}

/**
 * Ends the active connection of a pair, which another one replaces. Nothing: there is none, or it has ended since it
 * was found.
 *
 * @param locked what the transaction has locked, with the active connection.
 */
export function endReplaced(
  active: ConnectionId | undefined,
  locked: ReadonlyMap<ConnectionId, ConnectionRecord>,
  change: ConnectionChange,
  replacedBy: ConnectionId,
): Replacement {
  const found = active && locked.get(active);
  if (!found?.active) return { statements: [], events: [] };
  return {
    statements: [endLocked(found.id, change, replacedBy)],
    events: [['connection_ended', found]],
  };
}

/**
 * Runs a part of a transaction that may find a unique key taken.
 *
 * @throws Overtaken if it is taken: another transaction has changed the same pair since this one read it.
 */
export async function unlessOvertaken<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (duplicateKey(error) === undefined) throw error;
    throw new Overtaken('another change of the connection came first', { cause: error });
  }
}

/** A connection as the transaction has written it. */
export async function written(trx: Database, id: ConnectionId): Promise<ConnectionRecord> {
  return must(await read(trx, connectionById(id, undefined)), 'the connection that was written');
}
