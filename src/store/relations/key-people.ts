import { query, type Query, type Statement } from '../../db/query';
import { fromBinary, toBinary, type ApplicationId, type SessionId } from '../../model/ids';
import { kindSchemas } from '../../model/relations';

/** The sessions that the key people of a business session name, in their order, each once. */
export function sessionsOfKeyPeople(
  businessSession: SessionId,
  owner: ApplicationId,
): Query<readonly SessionId[]> {
  return query(
    {
      sql: `SELECT k.kyc_session_id
            FROM business_key_people k FORCE INDEX (PRIMARY)
            STRAIGHT_JOIN ?? s FORCE INDEX (PRIMARY) ON s.id = k.kyc_session_id
            WHERE k.session_id = ? AND s.application_id = ?
            ORDER BY k.check_ordinal, k.ordinal`,
      bindings: [kindSchemas.user.sessions, toBinary(businessSession), toBinary(owner)],
    },
    (rows: { readonly kyc_session_id: Buffer }[]) => [
      ...new Set(rows.map((row) => fromBinary<SessionId>(row.kyc_session_id))),
    ],
  );
}

/**
 * Makes the key people of a copied business session point at the copies of their sessions.
 *
 * @param copyOf by the original that a key person names.
 */
export function linkKeyPeople(
  businessSession: SessionId,
  copyOf: ReadonlyMap<SessionId, SessionId>,
): Statement {
  const originals = [...copyOf.keys()].map(toBinary);
  return {
    sql: `UPDATE business_key_people FORCE INDEX (PRIMARY)
          SET kyc_session_id = CASE source_kyc_session_id ${originals.map(() => 'WHEN ? THEN ?').join(' ')} END
          WHERE session_id = ? AND source_kyc_session_id IN (?)`,
    bindings: [
      ...[...copyOf].flatMap(([original, copy]) => [toBinary(original), toBinary(copy)]),
      toBinary(businessSession),
      originals,
    ],
  };
}
