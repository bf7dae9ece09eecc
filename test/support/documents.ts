import type { Database } from '../../src/db/database';
import { toBinary, type SessionId } from '../../src/model/ids';
import type { SessionKind } from '../../src/model/session';
import { insertRows } from '../../src/store/sessions/insert';

/**
 * Adds rows to a relation of documents, from the given ordinal on.
 *
 * @param lastDays the last day of each, as YYYY-MM-DD; null: it has none.
 */
export async function addDocuments(
  db: Database,
  kind: SessionKind,
  relation: string,
  id: SessionId,
  lastDays: readonly (string | null)[],
  from = 0,
): Promise<void> {
  const rows = lastDays.map((day, index) => ({ ordinal: from + index, expiration_date: day }));
  await addRows(db, kind, relation, id, rows);
}

/** Adds rows to a relation, with the given columns and those that all relations have. */
export async function addRows(
  db: Database,
  kind: SessionKind,
  relation: string,
  id: SessionId,
  rows: readonly Readonly<Record<string, unknown>>[],
): Promise<void> {
  if (rows.length === 0) return;
  const now = new Date();
  const common = { status: 'Approved', created_at: now, updated_at: now };
  await insertRows(
    db,
    kind,
    relation,
    rows.map((row) => ({ session_id: toBinary(id), ...common, ...row })),
  );
}
