import type { Database } from '../db/connection';
import { fromBinary, toBinary, type ApplicationId, type SessionId } from '../model/ids';
import { read } from '../db/query';
import { kindSchemas } from '../model/relations';
import { sessionKinds, type SessionKind } from '../model/session';

/** Finds out whose session an id is, and of which kind. */
export async function findSession(
  db: Database,
  id: SessionId,
): Promise<{ readonly kind: SessionKind; readonly applicationId: ApplicationId } | undefined> {
  for (const kind of sessionKinds) {
    const [row] = await read<{ application_id: Buffer }>(
      db,
      'SELECT application_id FROM ?? WHERE id = ?',
      [kindSchemas[kind].sessions, toBinary(id)],
    );
    if (row) return { kind, applicationId: fromBinary(row.application_id) };
  }
  return undefined;
}
