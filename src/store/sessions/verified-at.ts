/**
 * SQL for the time at which a session's verification was decided.
 *
 * For an original without this time, it is the time when the session was created. A copy without it was made by an
 * older version, which did not copy the time. When the copy was created says nothing about the verification, so the
 * time is unknown: null.
 *
 * @param session the session's name in the statement.
 */
export function verifiedAt(session: string): string {
  return `COALESCE(${session}.verified_at,
    CASE WHEN ${session}.shared_from_session_id IS NULL THEN ${session}.created_at END)`;
}
