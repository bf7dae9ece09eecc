import type { Cursor } from '../db/cursor';
import { query, sql, type Query, type Statement } from '../db/query';
import type { SessionKind } from '../model/session';

/** A sweep: for changed sessions of a kind, for changes that this has missed, or for sessions that are gone. */
export type SweepName = `changed ${SessionKind}` | 'missed' | 'gone';

/** Whether the row of a sweep is there. A new database has none, and a restored one may have none. */
export function sweepPrepared(name: SweepName): Query<boolean> {
  return query(sql('SELECT 1 FROM source_sweeps WHERE name = ?', name), ({ length }) => length > 0);
}

/** Makes sure that the row of a sweep is there. */
export function prepareSweep(name: SweepName): Statement {
  return sql(
    'INSERT INTO source_sweeps (name) VALUES (?) ON DUPLICATE KEY UPDATE name = source_sweeps.name',
    name,
  );
}

interface PlaceRow {
  readonly place: string | null;
}

function placeOf({ place }: PlaceRow): Cursor | null {
  return place === null ? null : (JSON.parse(place) as Cursor);
}

/**
 * Takes the next step of a sweep, until the transaction ends, so that one process at a time goes on with it.
 *
 * @param pause between two steps, in milliseconds. If the time of the next step is further ahead, it is
 * ignored: the server's clock was set back, or the pause was made shorter. All processes should have the same pause.
 * @returns how far it has come; null: it starts from the beginning; undefined: another process has it, it is not yet
 * time for it, or its row is missing.
 */
export function takeSweep(name: SweepName, pause: number): Query<Cursor | null | undefined> {
  return query(
    sql(
      `SELECT place FROM source_sweeps FORCE INDEX (PRIMARY)
       WHERE name = ? AND (next_at IS NULL OR next_at <= UTC_TIMESTAMP(6)
         OR next_at > UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND)
       FOR UPDATE SKIP LOCKED`,
      name,
      pause * 1_000,
    ),
    ([row]: PlaceRow[]) => row && placeOf(row),
  );
}

/**
 * Waits until nobody takes a step of a sweep, and lets nobody begin one until the transaction ends.
 *
 * @returns how far it has come; null: it has not begun.
 */
export function holdSweep(name: SweepName): Query<Cursor | null> {
  return query(
    sql('SELECT place FROM source_sweeps FORCE INDEX (PRIMARY) WHERE name = ? FOR UPDATE', name),
    ([row]: PlaceRow[]) => (row ? placeOf(row) : null),
  );
}

/**
 * Says how far a sweep has come.
 *
 * @param pause until the next step, in milliseconds from now.
 */
export function storeSweep(name: SweepName, place: Cursor | null, pause: number): Statement {
  return sql(
    `UPDATE source_sweeps SET place = ?, next_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND
     WHERE name = ?`,
    place && JSON.stringify(place),
    pause * 1_000,
    name,
  );
}
