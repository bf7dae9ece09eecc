import type { MultiDatabase, TransactionOf } from '../db/database';
import { Keyset, type Page, type WantedPage } from '../db/cursor';
import { allOf, ifGiven, query, read, sql, write, type Query, type Statement } from '../db/query';
import { inTransaction } from '../db/transaction';
import { fromBinary, toBinary, type ApplicationId, type SessionId } from '../model/ids';
import { must } from '../model/must';
import { kindSchemas } from '../model/relations';
import type { Retention, WaitingCount } from '../model/retention';
import type { Actor, SessionKind } from '../model/session';
import { actorBindings } from './actor-columns';
import { lockForErasure } from './sessions/erase';

/** The columns of {@link RetentionRow}, which no table of sessions has. */
export const retentionColumns = [
  'erase_after',
  'held_since',
  'hold_until',
  'hold_reference',
] as const;

/** What is set for a session; all null if nothing is. */
export interface RetentionRow {
  readonly erase_after: Date | null;
  readonly held_since: Date | null;
  readonly hold_until: Date | null;
  readonly hold_reference: string | null;
}

/** What a row says. */
export function retentionOfRow(row: RetentionRow): Retention {
  return {
    eraseAfter: row.erase_after,
    hold: row.held_since && { until: row.hold_until, reference: row.hold_reference },
  };
}

/** Joins what is set for a session. @param session SQL for its id. */
export const joinRetention = (session: string): string =>
  `session_retention retained ON retained.session_id = ${session}`;

/** What is set for a session; undefined: nothing ever was. */
export function retentionOf(id: SessionId): Query<Retention | undefined> {
  return query(
    sql(
      `SELECT ${retentionColumns.join(', ')} FROM session_retention WHERE session_id = ?`,
      toBinary(id),
    ),
    ([row]: RetentionRow[]) => row && retentionOfRow(row),
  );
}

/** Whose retention is set, to what, and by whom. */
export interface NewRetention {
  readonly sessionId: SessionId;
  readonly kind: SessionKind;
  /** Undefined: whoever has the session. */
  readonly owner: ApplicationId | undefined;
  readonly retention: Retention;
  /** Null: an operator. */
  readonly actor: Actor | null;
  /** Is asked after the session is locked. */
  readonly clock: (trx: TransactionOf<MultiDatabase>) => Date | Promise<Date>;
}

/**
 * Sets how long a session is kept, in place of what was set before. It locks the session's row exclusively, as an
 * erasure does: so an erasure either has ended before, or sees a hold.
 *
 * @returns false if the session does not exist (any more), or has another owner.
 */
export async function setRetention(
  db: MultiDatabase,
  { sessionId, kind, owner, retention, actor, clock }: NewRetention,
): Promise<boolean> {
  const { eraseAfter, hold } = retention;
  return inTransaction(db, async (trx) => {
    const session = await read(trx, lockForErasure(kindSchemas[kind], sessionId));
    if (!session || session.erasedAt) return false;
    if (owner !== undefined && session.applicationId !== owner) return false;
    const at = await clock(trx);
    await write(
      trx,
      sql(
        // Not REPLACE: the service's database user may not delete.
        `INSERT INTO session_retention
           (session_id, session_kind, erase_after, held_since, hold_until, hold_reference, set_at, api_key_id, gateway)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON DUPLICATE KEY UPDATE erase_after = VALUES(erase_after), held_since = VALUES(held_since),
           hold_until = VALUES(hold_until), hold_reference = VALUES(hold_reference), set_at = VALUES(set_at),
           api_key_id = VALUES(api_key_id), gateway = VALUES(gateway)`,
        toBinary(sessionId),
        kind,
        eraseAfter,
        hold && at,
        hold?.until ?? null,
        hold?.reference ?? null,
        at,
        ...actorBindings(actor),
      ),
    );
    return true;
  });
}

/** A session whose time is over. */
export interface Due {
  readonly sessionId: SessionId;
  readonly kind: SessionKind;
}

/** The order of the sessions whose time is over. */
const dueKeyset = new Keyset(
  [
    { name: 'erase_after', type: 'moment' },
    { name: 'session_id', type: 'id' },
  ],
  'ASC',
);

/** Sessions that are to be erased because their time is over and nobody holds them, in the order of the time. */
export function dueSessions(at: Date, { size, after }: WantedPage): Query<Page<Due>> {
  type Row = Readonly<{ session_id: Buffer; session_kind: SessionKind }>;
  const wanted = allOf(
    sql('erase_after <= ? AND (held_since IS NULL OR hold_until <= ?)', at, at),
    ifGiven(after, (cursor) => dueKeyset.following(cursor)),
  );
  return query(
    sql(
      `SELECT session_id, session_kind, ${dueKeyset.select} FROM session_retention
       WHERE ${wanted.sql} ORDER BY ${dueKeyset.orderBy} LIMIT ?`,
      ...[...wanted.bindings, size + 1],
    ),
    (rows: Row[]) =>
      dueKeyset.pageOf(rows, size, (row) => ({
        sessionId: fromBinary(row.session_id),
        kind: row.session_kind,
      })),
  );
}

/**
 * How many sessions wait to be erased because their time is over, and since when the first of them does. A session
 * that was on hold when its time was over waits since the end of the hold.
 *
 * @param most looks at this many sessions whose time is over, those on hold included.
 */
export function dueSessionsCount(at: Date, most: number): Query<WaitingCount> {
  return query(
    sql(
      `SELECT COUNT(*) AS waiting,
         MIN(GREATEST(d.erase_after, COALESCE(d.hold_until, d.erase_after))) AS oldest
       FROM (
         SELECT erase_after, held_since, hold_until FROM session_retention
         WHERE erase_after <= ? ORDER BY erase_after LIMIT ?
       ) d WHERE d.held_since IS NULL OR d.hold_until <= ?`,
      ...[at, most, at],
    ),
    ([row]: WaitingCount[]) => must(row, 'a count of sessions'),
  );
}

/** The order of all sessions for which something is set. */
const retainedKeyset = new Keyset([{ name: 'session_id', type: 'id' }], 'ASC');

/** All sessions for which something is set, or was. */
export function retainedSessions({ size, after }: WantedPage): Query<Page<SessionId>> {
  const wanted = after ? retainedKeyset.following(after) : sql('TRUE');
  return query(
    sql(
      `SELECT session_id, ${retainedKeyset.select} FROM session_retention
       WHERE ${wanted.sql} ORDER BY ${retainedKeyset.orderBy} LIMIT ?`,
      ...[...wanted.bindings, size + 1],
    ),
    (rows: { readonly session_id: Buffer }[]) =>
      retainedKeyset.pageOf(rows, size, (row) => fromBinary(row.session_id)),
  );
}

/** Removes the time after which a session is to be erased, because it has been erased. */
export function endRetention(id: SessionId): Statement {
  return sql('UPDATE session_retention SET erase_after = NULL WHERE session_id = ?', toBinary(id));
}

/** Deletes what was set for sessions. @param ids at least one. */
export function deleteRetention(...ids: readonly SessionId[]): Statement {
  return sql('DELETE FROM session_retention WHERE session_id IN (?)', ids.map(toBinary));
}
