import { fromBinary } from '../../model/ids';
import { must } from '../../model/must';
import type { SessionKind } from '../../model/session';
import type { WithdrawalOutcome, WithdrawalReason, WithdrawnCopy } from '../../model/withdrawals';

/** The columns of a {@link CopyRow}. */
export const copyColumns = [
  ...['withdrawal_id', 'session_id', 'application_id', 'session_kind', 'reason', 'withdrawn_at'],
  ...['parent_session_id', 'parent_application_id', 'told_at'],
  ...['outcome', 'kept_until', 'answered_at'],
] as const;

/** A row of a copy, with {@link copyColumns}. */
export type CopyRow = Readonly<
  Record<'withdrawal_id' | 'session_id' | 'application_id', Buffer> &
    Record<'parent_session_id' | 'parent_application_id', Buffer | null> &
    Record<'told_at' | 'kept_until' | 'answered_at', Date | null> & {
      session_kind: SessionKind;
      reason: WithdrawalReason;
      withdrawn_at: Date;
      outcome: WithdrawalOutcome | null;
    }
>;

/**
 * The condition that a session was withdrawn for good, that is, for another reason than a correction.
 *
 * @param session the column of its id.
 */
export function withdrawnForGood(session: string): string {
  return told(session, `w.reason <> 'rectified'`);
}

/**
 * The condition that nobody can import a session: it was withdrawn for good, or it is a copy that has been reached by a
 * correction to which its application has not answered KEPT. A corrected session itself can be imported.
 *
 * @param session the column of its id.
 */
export function importsStopped(session: string): string {
  return told(
    session,
    `(w.reason <> 'rectified'
      OR (w.parent_session_id IS NOT NULL AND COALESCE(w.outcome, '') <> 'kept'))`,
  );
}

function told(session: string, condition: string): string {
  return `EXISTS (SELECT 1 FROM session_withdrawals w
    WHERE w.session_id = ${session} AND w.told_at IS NOT NULL AND ${condition})`;
}

/** The copy of a row that has a parent. */
export function copyOf(row: CopyRow): WithdrawnCopy {
  const { outcome, answered_at: at } = row;
  return {
    withdrawalId: fromBinary(row.withdrawal_id),
    reason: row.reason,
    withdrawnAt: row.withdrawn_at,
    kind: row.session_kind,
    sessionId: fromBinary(row.session_id),
    applicationId: fromBinary(row.application_id),
    parent: {
      sessionId: fromBinary(must(row.parent_session_id, 'the original of a copy')),
      applicationId: fromBinary(must(row.parent_application_id, 'the application of an original')),
    },
    toldAt: row.told_at,
    answer: outcome && at && { outcome, keptUntil: row.kept_until, at },
  };
}
