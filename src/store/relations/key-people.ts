import { inList, query, sql, type Query, type Statement } from '../../db/query';
import { fromBinary, toBinary, type ApplicationId, type SessionId } from '../../model/ids';
import { must } from '../../model/must';
import { kindSchemas } from '../../model/relations';
import type { Scope } from '../../model/scope';
import { scopeColumn, scopeOf, type ScopeRow } from '../scope-column';

/** Key people with their sessions, as far as these are the given application's, and were not erased. */
const linkedKeyPeople = `
  business_key_people k FORCE INDEX (PRIMARY)
  STRAIGHT_JOIN ?? s FORCE INDEX (PRIMARY)
  ON s.id = k.kyc_session_id AND s.application_id = ? AND s.erased_at IS NULL`;

/** Sorts by the place of the first key person of each session. Its two ordinals, INT UNSIGNED, make one number. */
const inTheirOrder = 'ORDER BY MIN(k.check_ordinal * 4294967296 + k.ordinal)';

/** The sessions that key people name, in their order. If one is a copy, with what it got of its original. */
export type NamedSessions = ReadonlyMap<SessionId, Scope>;

type NamedRow = ScopeRow & { readonly kyc_session_id: Buffer };

const namedSessions = (rows: readonly NamedRow[]): NamedSessions =>
  new Map(rows.map((row) => [fromBinary<SessionId>(row.kyc_session_id), scopeOf(row)]));

/**
 * The sessions that the key people of a business session name, if they are the given application's, and if there are
 * not too many of them.
 *
 * MySQL first counts up to one more than the limit, and stops reading there (MySQL 8.4 manual, section 10.2.1.19). If
 * that is too many, it reads no more. So thousands of sessions cost no more than a few hundred. But key people that
 * add nothing to the count are all read: those without a session, with one that was counted before, or with one of
 * another application.
 */
export function sessionsToLink(
  businessSession: SessionId,
  owner: ApplicationId,
  limit: number,
): Query<NamedSessions | 'too many'> {
  const { sessions } = kindSchemas.user;
  const company = toBinary(businessSession);
  // The one row with the count is always there, also if no key person names a session.
  type Row = { readonly sessions: number } & (NamedRow | { readonly kyc_session_id: null });
  return query(
    sql(
      `SELECT MIN(counted.sessions) AS sessions, k.kyc_session_id, MIN(s.${scopeColumn}) AS ${scopeColumn}
       FROM (SELECT COUNT(*) AS sessions FROM
              (SELECT DISTINCT k.kyc_session_id FROM ${linkedKeyPeople} WHERE k.session_id = ? LIMIT ?) found) counted
       LEFT JOIN (${linkedKeyPeople}) ON counted.sessions <= ? AND k.session_id = ?
       GROUP BY k.kyc_session_id ${inTheirOrder}`,
      ...[sessions, toBinary(owner), company, limit + 1],
      ...[sessions, toBinary(owner), limit, company],
    ),
    (rows: Row[]) => {
      if (must(rows[0], 'a count').sessions > limit) return 'too many';
      return namedSessions(rows.filter((row) => row.kyc_session_id !== null));
    },
  );
}

/**
 * The first `limit` sessions that the key people of a business session name, if they are the given
 * application's.
 *
 * The statement reads every key person once, however often a session is named: 0.13 s for 33,000 of them.
 */
export function firstSessionsOfKeyPeople(
  businessSession: SessionId,
  owner: ApplicationId,
  limit: number,
): Query<NamedSessions> {
  return query(
    sql(
      `SELECT k.kyc_session_id, MIN(s.${scopeColumn}) AS ${scopeColumn}
       FROM ${linkedKeyPeople} WHERE k.session_id = ?
       GROUP BY k.kyc_session_id ${inTheirOrder} LIMIT ?`,
      ...[kindSchemas.user.sessions, toBinary(owner), toBinary(businessSession), limit],
    ),
    namedSessions,
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
