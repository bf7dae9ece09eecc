import type { Database } from '../../db/database';
import { kindSchemas, relationOf } from '../../model/relations';
import { must } from '../../model/must';
import type { SessionKind } from '../../model/session';

/** Columns with their values. */
type Row = Readonly<Record<string, unknown>>;

/** Inserts a session as it is given: one that is no copy. */
export async function insertSession(db: Database, kind: SessionKind, columns: Row): Promise<void> {
  await db(kindSchemas[kind].sessions).insert(columns);
}

/**
 * Inserts rows of a relation.
 *
 * @throws AssertionFailure if the kind has no relation of that name.
 */
export async function insertRows(
  db: Database,
  kind: SessionKind,
  relation: string,
  rows: readonly Row[],
): Promise<void> {
  const { table } = must(relationOf(kind, relation), `relation ${relation} of ${kind} sessions`);
  await db(table).insert([...rows]);
}
