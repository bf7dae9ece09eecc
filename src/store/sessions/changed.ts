import { Keyset, type Cursor, type Page } from '../../db/cursor';
import { query, sql, type Query } from '../../db/query';
import { firstIdOf, fromBinary, type SessionId } from '../../model/ids';
import { kindSchemas } from '../../model/relations';
import type { SessionKind } from '../../model/session';
import { isOnCalendar } from './version';

/**
 * How old a change must be before this list has it, in seconds. The platform sets `updated_at` before it commits. A
 * sweep that looked earlier could go past this time before the change can be seen. A change that is committed later than
 * this is behind the sweep: another sweep, through the ledger, finds it.
 */
const settled = 30;

/** The place from which a sweep sees the changes of a moment and later ones. */
export function placeOfChanges(at: Date): Cursor {
  return [`${at.toISOString().slice(0, -1)}000`, firstIdOf(new Date(0))];
}

/** A session that was changed, or made. */
export interface ChangedSession {
  readonly id: SessionId;
  /** The place behind this change. */
  readonly place: Cursor;
}

const keyset = new Keyset(
  [
    { name: 'updated_at', type: 'moment' },
    { name: 'id', type: 'id' },
  ],
  'ASC',
);

/**
 * Sessions of a kind in the order of their changes, without the newest ones: see {@link settled}. Those that were
 * changed at no valid date are left out.
 */
export function changedSessions(
  kind: SessionKind,
  after: Cursor,
  size: number,
): Query<Page<ChangedSession>> {
  const { sessions } = kindSchemas[kind];
  const following = keyset.following(after);
  return query(
    sql(
      `SELECT id, ${keyset.select}
       FROM ?? FORCE INDEX (${sessions}_updated_at_index)
       WHERE ${following.sql} AND updated_at < UTC_TIMESTAMP(6) - INTERVAL ${settled} SECOND
         AND ${isOnCalendar('updated_at')}
       ORDER BY ${keyset.orderBy} LIMIT ?`,
      sessions,
      ...following.bindings,
      size + 1,
    ),
    (rows: { readonly id: Buffer }[]) =>
      keyset.pageOf(rows, size, (row) => ({
        id: fromBinary<SessionId>(row.id),
        place: keyset.cursorOf(row),
      })),
  );
}
