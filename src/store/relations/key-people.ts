import { query, type Query, type Statement } from '../../db/query';
import { fromBinary, toBinary, type ApplicationId, type SessionId } from '../../model/ids';
import { kindSchemas } from '../../model/relations';

/**
 * The sessions that the key people of a business session name, if they are the given application's: in the
 * order of the key people, each once.
 *
 * The statement reads every key person once, however often a session is named: 0.13 s for 33,000 of them.
 *
 * @param limit the most sessions that are read.
 */
export function sessionsOfKeyPeople(
  businessSession: SessionId,
  owner: ApplicationId,
  limit: number,
): Query<readonly SessionId[]> {
  return query(
    {
      // Ordinals are INT UNSIGNED: the two of a key person make one number.
      sql: `SELECT k.kyc_session_id
            FROM business_key_people k FORCE INDEX (PRIMARY)
            STRAIGHT_JOIN ?? s FORCE INDEX (PRIMARY) ON s.id = k.kyc_session_id
            WHERE k.session_id = ? AND s.application_id = ?
            GROUP BY k.kyc_session_id
            ORDER BY MIN(k.check_ordinal * 4294967296 + k.ordinal) LIMIT ?`,
      bindings: [kindSchemas.user.sessions, toBinary(businessSession), toBinary(owner), limit],
    },
    (rows: { readonly kyc_session_id: Buffer }[]) =>
      rows.map((row) => fromBinary<SessionId>(row.kyc_session_id)),
  );
}

/**
 * Makes the key people of a copied business session point at the copies of their sessions.
 *
 * The pairs are a derived table, in which the server looks up each row by key. With a CASE, it would
 * compare each row with each pair.
 *
 * @param copyOf the copies, by the originals that key people name; not empty.
 */
export function linkKeyPeople(
  businessSession: SessionId,
  copyOf: ReadonlyMap<SessionId, SessionId>,
): Statement {
  const pairs = [...copyOf].map(() => 'SELECT ? AS original, ? AS copy').join(' UNION ALL ');
  return {
    sql: `UPDATE business_key_people k FORCE INDEX (PRIMARY)
          STRAIGHT_JOIN (${pairs}) c ON c.original = k.source_kyc_session_id
          SET k.kyc_session_id = c.copy
          WHERE k.session_id = ?`,
    bindings: [
      ...[...copyOf].flatMap(([original, copy]) => [toBinary(original), toBinary(copy)]),
      toBinary(businessSession),
    ],
  };
}
