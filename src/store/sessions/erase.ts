import { query, sql, type Query, type Statement } from '../../db/query';
import {
  fromBinary,
  toBinary,
  type ApplicationId,
  type SessionId,
  type VendorEntityId,
} from '../../model/ids';
import { kindSchemas, type KindSchema } from '../../model/relations';
import { importsStopped } from '../withdrawals/rows';
import type { Locking } from './lock';
import { highestSessionNumber, sessionKinds, type SessionKind } from '../../model/session';

/** What an erasure needs to know of a session. */
export interface ErasableSession {
  readonly applicationId: ApplicationId;
  readonly vendorEntityId: VendorEntityId | null;
  /** Null: it was not erased. */
  readonly erasedAt: Date | null;
}

/**
 * Locks a session exclusively until the transaction ends, whether or not it was erased; undefined: there is none.
 *
 * @param locking with `skip`, a session that somebody else holds is missing as well.
 */
export function lockForErasure(
  { sessions }: KindSchema,
  id: SessionId,
  locking: Locking = 'wait',
): Query<ErasableSession | undefined> {
  type Row = Readonly<{
    application_id: Buffer;
    vendor_entity_id: Buffer | null;
    erased_at: Date | null;
  }>;
  return query(
    sql(
      `SELECT application_id, vendor_entity_id, erased_at FROM ?? FORCE INDEX (PRIMARY)
       WHERE id = ? FOR UPDATE ${locking === 'skip' ? 'SKIP LOCKED' : ''}`,
      ...[sessions, toBinary(id)],
    ),
    ([row]: Row[]) =>
      row && {
        applicationId: fromBinary(row.application_id),
        vendorEntityId: row.vendor_entity_id && fromBinary(row.vendor_entity_id),
        erasedAt: row.erased_at,
      },
  );
}

/** A session of any application, whether or not it was erased. */
export interface AnyonesSession {
  readonly applicationId: ApplicationId;
  readonly kind: SessionKind;
  readonly createdAt: Date;
}

/** The sessions that have these ids, of any application and both kinds. @param ids at least one. */
export function sessionsOfAnyone(
  ids: readonly SessionId[],
): Query<ReadonlyMap<SessionId, AnyonesSession>> {
  type Row = Readonly<{ id: Buffer; kind: SessionKind; application_id: Buffer; created_at: Date }>;
  const ofKind = 'SELECT id, ? AS kind, application_id, created_at FROM ?? WHERE id IN (?)';
  return query(
    sql(
      sessionKinds.map(() => ofKind).join(' UNION ALL '),
      ...sessionKinds.flatMap((kind) => [kind, kindSchemas[kind].sessions, ids.map(toBinary)]),
    ),
    (rows: Row[]) =>
      new Map(
        rows.map(({ id, kind, application_id: owner, created_at: createdAt }) => [
          fromBinary(id),
          { applicationId: fromBinary(owner), kind, createdAt },
        ]),
      ),
  );
}

/** Marks a session as erased: no statement for callers finds it any more. */
export function markErased({ sessions }: KindSchema, id: SessionId, at: Date): Statement {
  return sql('UPDATE ?? SET erased_at = ? WHERE id = ?', sessions, at, toBinary(id));
}

/**
 * Sets or removes the mark that nobody can import a session, as its withdrawals and their answers say. A mark that
 * stays keeps its time. It must come after the statements that store these, because it reads them.
 */
export function markWithdrawn({ sessions }: KindSchema, id: SessionId, at: Date): Statement {
  return sql(
    `UPDATE ?? s SET s.withdrawn_at = IF(${importsStopped('s.id')}, COALESCE(s.withdrawn_at, ?), NULL)
     WHERE s.id = ?`,
    ...[sessions, at, toBinary(id)],
  );
}

/** Deletes the row of a session. Rows of relations that are still there are deleted with it. */
export function deleteSession({ sessions }: KindSchema, id: SessionId): Statement {
  return sql('DELETE FROM ?? WHERE id = ?', sessions, toBinary(id));
}

/** A session of an application, by its number. */
export interface NumberedSession {
  readonly id: SessionId;
  readonly number: number;
}

/**
 * Sessions of an application and a kind in the order of their numbers, erased ones included. Numbers above
 * {@link highestSessionNumber} are passed over: they can't be told apart, and no counter has given them out.
 */
export function sessionsByNumber(
  { sessions }: KindSchema,
  applicationId: ApplicationId,
  after: number,
  limit: number,
): Query<NumberedSession[]> {
  return query(
    sql(
      `SELECT id, session_number FROM ?? WHERE application_id = ? AND session_number > ? AND session_number <= ?
       ORDER BY session_number LIMIT ?`,
      ...[sessions, toBinary(applicationId), after, highestSessionNumber, limit],
    ),
    (rows: { readonly id: Buffer; readonly session_number: number }[]) =>
      rows.map((row) => ({ id: fromBinary(row.id), number: row.session_number })),
  );
}
