/**
 * SQL for the time at which a session's verification was decided.
 *
 * An original that does not say it counts from its creation. A copy that does not say it is of an older version,
 * which did not carry the time on. Its own creation says nothing about the verification, so the time is unknown:
 * null.
 *
 * @param session the session's name in the statement.
 */
export function verifiedAt(session: string): string {
  return `COALESCE(${session}.verified_at,
    CASE WHEN ${session}.shared_from_session_id IS NULL THEN ${session}.created_at END)`;
}
