import type { Statement } from '../../db/query';
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
}

/**
 * Appends an entry about the import to each copy's log. The entry comes after the last log entry that was
 * really copied, so it does not depend on the row count.
 */
export function appendImportLogs(
  schema: KindSchema,
  entries: readonly ImportLogEntry[],
): Statement {
  const columns = ['status', 'long_description', 'additional_data', 'created_at'];
  const row = `SELECT ? AS id, ${columns.map((column) => `? AS ${column}`).join(', ')}`;
  return {
    sql: `INSERT ${uncheckedKeys} INTO ?? (session_id, ordinal, activity_type, log_type, short_description, updated_at,
            ${columns.join(', ')})
          SELECT n.id, (SELECT COALESCE(MAX(l.ordinal) + 1, 0) FROM ?? l WHERE l.session_id = n.id),
            ?, 'information', 'Session imported', n.created_at,
            ${columns.map((column) => `n.${column}`).join(', ')}
          FROM (${entries.map(() => row).join(' UNION ALL ')}) n`,
    bindings: [
      schema.logs,
      schema.logs,
      importActivity,
      ...entries.flatMap((entry) => [
        toBinary(entry.sessionId),
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
      ]),
    ],
  };
}
