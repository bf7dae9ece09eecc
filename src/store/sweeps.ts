import type { Cursor } from '../db/cursor';
import { query, sql, type Query, type Statement } from '../db/query';
import type { SessionKind } from '../model/session';

/** A sweep: for changed sessions of a kind, or for sessions of either kind that are gone. */
export type SweepName = `changed ${SessionKind}` | 'gone';

/** Makes sure that the row of a sweep is there. */
export function prepareSweep(name: SweepName): Statement {
  return sql(
    'INSERT INTO source_sweeps (name) VALUES (?) ON DUPLICATE KEY UPDATE name = source_sweeps.name',
    name,
  );
}

/**
 * Takes a sweep until the transaction ends, so that one process at a time goes on with it.
 *
 * @returns how far it has come; null: it starts from the beginning; undefined: another process has it, or its row is
 * missing.
 */
export function takeSweep(name: SweepName): Query<Cursor | null | undefined> {
  return query(
    sql(
      'SELECT place FROM source_sweeps FORCE INDEX (PRIMARY) WHERE name = ? FOR UPDATE SKIP LOCKED',
      name,
    ),
    ([row]: { readonly place: string | null }[]) =>
      row && (row.place === null ? null : (JSON.parse(row.place) as Cursor)),
  );
}

/** Says how far a sweep has come. */
export function storeSweep(name: SweepName, place: Cursor | null): Statement {
  return sql(
    'UPDATE source_sweeps SET place = ? WHERE name = ?',
    place && JSON.stringify(place),
    name,
  );
}
