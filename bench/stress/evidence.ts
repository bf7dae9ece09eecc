import type { Database } from '../../src/db/database';
import { read, select } from '../../src/db/query';
import { fromBinary, normalizeJti, toBinary, type ApplicationId } from '../../src/model/ids';
import type { Became, CallKind } from './calls';

/** How many calls were answered as they should be, but left no trace in the database. */
export async function vanishedCalls(
  db: Database,
  applicationId: ApplicationId,
  became: Readonly<Record<CallKind, Became>>,
): Promise<Record<CallKind, number>> {
  const ids = async (sql: string): Promise<Set<string>> => {
    const found = await read(db, select<{ id: Buffer }>(sql, [toBinary(applicationId)]));
    return new Set(found.map(({ id }) => fromBinary(id)));
  };
  const copies = (sessions: string): Promise<Set<string>> =>
    ids(
      `SELECT s.id FROM ${sessions} s JOIN session_imports i ON i.session_id = s.id
       WHERE i.application_id = ?`,
    );
  const refused = await read(
    db,
    select<{ id: string | null }>(
      'SELECT token_id AS id FROM import_refusals WHERE application_id = ?',
      [toBinary(applicationId)],
    ),
  );
  const onRecord: Readonly<Record<CallKind, ReadonlySet<string>>> = {
    imports: await copies('user_sessions'),
    linked: await copies('business_sessions'),
    reads: new Set(),
    revocations: await ids(
      'SELECT id FROM share_tokens WHERE application_id = ? AND revoked_at IS NOT NULL',
    ),
    refusals: new Set(refused.map(({ id }) => normalizeJti(id ?? ''))),
  };
  const missing = (kind: CallKind): number =>
    became[kind].evidence.filter((id) => !onRecord[kind].has(id)).length;
  return {
    imports: missing('imports'),
    linked: missing('linked'),
    reads: missing('reads'),
    revocations: missing('revocations'),
    refusals: missing('refusals'),
  };
}
