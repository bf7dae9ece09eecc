import { inList, query, sql, type Query, type Statement } from '../../db/query';
import { fromBinary, toBinary, type ApplicationId, type SessionId } from '../../model/ids';
import { must } from '../../model/must';
import { kindSchemas } from '../../model/relations';
import type { Scope } from '../../model/scope';
import { scopeColumn, scopeOf, type ScopeRow } from '../scope-column';

/** The key people of a business session whose sessions are the given application's, and were not erased. */
const linkedKeyPeople = `
  FROM business_key_people k FORCE INDEX (PRIMARY)
  STRAIGHT_JOIN ?? s FORCE INDEX (PRIMARY) ON s.id = k.kyc_session_id
  WHERE k.session_id = ? AND s.application_id = ? AND s.erased_at IS NULL`;

/**
 * How many sessions the key people of a business session name, if they are the given application's; no more than
 * `limit` are counted. MySQL stops reading when it has found that many (MySQL 8.4 manual, section 10.2.1.19). So
 * thousands of sessions cost no more than a few hundred. But key people that add nothing to the count are all read:
 * those without a session, with one that was counted before, or with one of another application.
 */
export function countSessionsOfKeyPeople(
  businessSession: SessionId,
  owner: ApplicationId,
  limit: number,
): Query<number> {
  return query(
    {
      sql: `SELECT COUNT(*) AS sessions FROM (SELECT DISTINCT k.kyc_session_id ${linkedKeyPeople} LIMIT ?) found`,
      bindings: [kindSchemas.user.sessions, toBinary(businessSession), toBinary(owner), limit],
    },
    ([row]: { readonly sessions: number }[]) => must(row, 'a count').sessions,
  );
}

/**
 * The sessions that the key people of a business session name, if they are the given application's: in the
 * order of the key people, each once, with what is shared of it if it is itself a copy.
 *
 * The statement reads every key person once, however often a session is named: 0.13 s for 33,000 of them.
 *
 * @param limit the first so many; undefined: all.
 */
export function sessionsOfKeyPeople(
  businessSession: SessionId,
  owner: ApplicationId,
  limit?: number,
): Query<ReadonlyMap<SessionId, Scope>> {
  return query(
    {
      // Ordinals are INT UNSIGNED: the two of a key person make one number.
      sql: `SELECT k.kyc_session_id, MIN(s.${scopeColumn}) AS ${scopeColumn} ${linkedKeyPeople}
            GROUP BY k.kyc_session_id
            ORDER BY MIN(k.check_ordinal * 4294967296 + k.ordinal) ${limit === undefined ? '' : 'LIMIT ?'}`,
      bindings: [
        ...[kindSchemas.user.sessions, toBinary(businessSession), toBinary(owner)],
        ...(limit === undefined ? [] : [limit]),
      ],
    },
    (rows: (ScopeRow & { readonly kyc_session_id: Buffer })[]) =>
      new Map(rows.map((row) => [fromBinary<SessionId>(row.kyc_session_id), scopeOf(row)])),
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

/** Which of some business sessions have key people that name one of the given sessions. Takes no lock. */
export function sessionsWithKeyPeople(
  businessSessions: readonly SessionId[],
  named: readonly SessionId[],
): Query<readonly SessionId[]> {
  return query(
    sql(
      `SELECT DISTINCT k.session_id FROM business_key_people k FORCE INDEX (PRIMARY)
       WHERE k.session_id IN (?) AND k.kyc_session_id IN (?)`,
      inList(businessSessions.map(toBinary)),
      inList(named.map(toBinary)),
    ),
    (rows: { readonly session_id: Buffer }[]) =>
      rows.map((row) => fromBinary<SessionId>(row.session_id)),
  );
}

/** Makes the key people of a business session point at none of the given sessions. Its row must be locked. */
export function unlinkKeyPeople(
  businessSession: SessionId,
  named: readonly SessionId[],
): Statement {
  return sql(
    `UPDATE business_key_people k FORCE INDEX (PRIMARY) SET k.kyc_session_id = NULL
     WHERE k.session_id = ? AND k.kyc_session_id IN (?)`,
    toBinary(businessSession),
    inList(named.map(toBinary)),
  );
}
