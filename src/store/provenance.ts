import type { Database } from '../db/connection';
import { fromBinary, toBinary, type ApplicationId, type SessionId } from '../model/ids';
import { read, readTogether, type Statement } from '../db/query';
import { importColumns, importRecord, type ImportRecord, type ImportRow } from './import-records';

/** How many imports are followed at most. Far more than there are applications to pass a session on. */
const mostSteps = 100;

/** An import on the way from a session back to its origin. */
export interface ProvenanceStep {
  readonly createdAt: Date;
  /** Undefined if the import does not concern the application that asks. */
  readonly record: ImportRecord | undefined;
}

/** Where a session came from. */
export interface Provenance {
  /** From the session back to its origin; none if it is no copy. */
  readonly steps: readonly ProvenanceStep[];
  /** Whether the way was followed to a session that is no copy. */
  readonly complete: boolean;
}

/**
 * Follows a session back to its origin, through the ledger: one look-up for each import. A copy is made
 * after its original, so the way does not lead in a circle.
 *
 * @returns undefined if the application has no such session, and never had it as a copy.
 */
export async function provenanceOf(
  db: Database,
  viewer: ApplicationId,
  sessionId: SessionId,
): Promise<Provenance | undefined> {
  const [owned, made] = await readTogether<[object, ImportRow]>(db, [
    selectOwned(viewer, sessionId),
    selectImport(sessionId),
  ]);
  if (owned.length === 0) return undefined;

  const steps: ProvenanceStep[] = [];
  let origin = sessionId;
  let [row] = made;
  while (row && steps.length < mostSteps) {
    steps.push({ createdAt: row.created_at, record: importRecord(row, viewer) });
    origin = fromBinary(row.source_session_id);
    const { sql, bindings } = selectImport(origin);
    [row] = await read<ImportRow>(db, sql, bindings);
  }
  return { steps, complete: !row && !(await isCopy(db, origin)) };
}

/** A session of either kind that an application has, or the ledger's entry of one that it had. */
function selectOwned(applicationId: ApplicationId, sessionId: SessionId): Statement {
  const owned = [toBinary(sessionId), toBinary(applicationId)];
  return {
    sql: `SELECT 1 FROM user_sessions WHERE id = ? AND application_id = ?
          UNION ALL SELECT 1 FROM business_sessions WHERE id = ? AND application_id = ?
          UNION ALL SELECT 1 FROM session_imports WHERE session_id = ? AND application_id = ?`,
    bindings: [...owned, ...owned, ...owned],
  };
}

/** The import that made a session. */
function selectImport(sessionId: SessionId): Statement {
  return {
    sql: `SELECT ${importColumns} FROM session_imports WHERE session_id = ?`,
    bindings: [toBinary(sessionId)],
  };
}

/** Whether a session that the ledger does not know as a copy says of itself that it is one. */
async function isCopy(db: Database, sessionId: SessionId): Promise<boolean> {
  const id = toBinary(sessionId);
  const found = await read(
    db,
    `SELECT 1 FROM user_sessions WHERE id = ? AND shared_from_session_id IS NOT NULL
     UNION ALL SELECT 1 FROM business_sessions WHERE id = ? AND shared_from_session_id IS NOT NULL`,
    [id, id],
  );
  return found.length > 0;
}
