import { sql, type Statement } from '../../db/query';
import { toBinary, type ApplicationId, type SessionId } from '../../model/ids';
import { importActivity, type KindSchema } from '../../model/relations';
import type { SessionStatus } from '../../model/session';
import { uncheckedKeys } from './unchecked-keys';

/** What the log of a copy says about its import. */
export interface ImportLogEntry {
  readonly sessionId: SessionId;
  readonly status: SessionStatus;
  readonly sourceSessionId: SessionId;
  readonly sourceApplicationId: ApplicationId;
  readonly sourceStatus: SessionStatus;
  readonly trustReview: boolean;
  /** The copy of the business session that it is linked to; null: it was imported alone. */
  readonly linkedTo: SessionId | null;
  readonly createdAt: Date;
  /** Its place in the copy's log. */
  readonly ordinal: number;
}

/**
 * Adds an entry about the import to the log of each copy. If a copy has an entry of the same ordinal, the source got it
 * after its rows were counted. The statement then updates that entry, which MySQL counts as two rows, so the caller
 * finds out and rolls back.
 *
 * @param entries at least one.
 */
export function appendImportLogs(
  schema: KindSchema,
  entries: readonly ImportLogEntry[],
): Statement {
  return sql(
    `INSERT ${uncheckedKeys} INTO ?? (session_id, ordinal, activity_type, log_type, short_description, status,
       long_description, additional_data, created_at, updated_at)
     VALUES ? ON DUPLICATE KEY UPDATE activity_type = ?`,
    schema.logs,
    entries.map((entry) => [
      toBinary(entry.sessionId),
      entry.ordinal,
      importActivity,
      'information',
      'Session imported',
      entry.status,
      entry.trustReview
        ? 'Imported from another application; its review was trusted.'
        : 'Imported from another application, to be reviewed again.',
      JSON.stringify({
        shared_from_session: entry.sourceSessionId,
        shared_from_application: entry.sourceApplicationId,
        original_status: entry.sourceStatus,
        trust_review: entry.trustReview,
        // A session that was imported alone has no link, so its entry is the same as in earlier versions.
        linked_to_session: entry.linkedTo ?? undefined,
      }),
      entry.createdAt,
      entry.createdAt,
    ]),
    // No entry that is copied has it, so this is a change.
    importActivity,
  );
}
