import { inKeyOrder } from '../../db/key-order';
import { inList, query, select, type Binding, type Query } from '../../db/query';
import { fromBinary, toBinary, type ApplicationId, type SessionId } from '../../model/ids';
import type { KindSchema } from '../../model/relations';
import type { SessionStatus } from '../../model/session';

/** A session that is locked: nobody changes it, or its relations, until the transaction ends. */
export interface LockedSession {
  readonly applicationId: ApplicationId;
  readonly status: SessionStatus;
}

/** What to do about a row that somebody else holds: wait for it, or leave it out. */
export type Locking = 'wait' | 'skip';

/**
 * The SQL of a share lock. Both servers know `LOCK IN SHARE MODE`. But with `SKIP LOCKED`, MySQL only knows
 * `FOR SHARE`, and MariaDB only `LOCK IN SHARE MODE`. So each is in a comment that the other server ignores
 * (MySQL 8.4 manual, section 11.7; MariaDB ignores such comments for MySQL 5.7 and later).
 *
 * With `SKIP LOCKED`, both servers also leave out a row for which somebody waits to lock it exclusively. So a
 * stream of share locks can't keep a writer out.
 */
export const shareLock: Readonly<Record<Locking, string>> = {
  wait: 'LOCK IN SHARE MODE',
  skip: '/*!80000 FOR SHARE */ /*M! LOCK IN SHARE MODE */ SKIP LOCKED',
};

/** A session, and the application that it must belong to. */
export interface OwnedSession {
  readonly id: SessionId;
  readonly applicationId: ApplicationId;
}

/** The SQL condition that a session `s` is in {@link ownedBindings}. Rows are looked up by the ids alone. */
export const isOwned = 's.id IN (?) AND (s.id, s.application_id) IN (?)';

/** The bindings of {@link isOwned}. */
export function ownedBindings(wanted: readonly OwnedSession[]): readonly Binding[] {
  const inOrder = inKeyOrder(wanted, ({ id }) => id);
  return [
    inList(inOrder.map(({ id }) => toBinary(id))),
    inList(
      inOrder.map(({ id, applicationId }) => [toBinary(id), toBinary(applicationId)]),
      [null, null],
    ),
  ];
}

/**
 * Share-locks sessions, in key order, until the transaction ends. Those that do not exist are missing,
 * and with `skip` also those that somebody else holds. A session of another application is missing too, and is
 * neither locked nor waited for: the subquery, which takes no lock, selects only the application's own sessions
 * (MySQL 8.4 manual, section 17.7.2.4).
 *
 * Whoever changes a session's relations holds its row exclusively; so what is counted and copied
 * afterwards is one version of the session, although READ COMMITTED gives every statement a new
 * snapshot.
 */
export function shareLockSessions(
  schema: KindSchema,
  wanted: readonly OwnedSession[],
  locking: Locking,
): Query<ReadonlyMap<SessionId, LockedSession>> {
  interface Row {
    readonly id: Buffer;
    readonly application_id: Buffer;
    readonly status: SessionStatus;
  }
  return query(
    {
      // Without the hints, MySQL would scan a small table, and wait for the locks of unrelated sessions.
      sql: `SELECT l.id, l.application_id, l.status
            FROM (SELECT s.id FROM ?? s FORCE INDEX (PRIMARY) WHERE ${isOwned}) own
            STRAIGHT_JOIN ?? l FORCE INDEX (PRIMARY) ON l.id = own.id
            ORDER BY own.id ${shareLock[locking]}`,
      bindings: [schema.sessions, ...ownedBindings(wanted), schema.sessions],
    },
    (found: Row[]) =>
      new Map(
        found.map(({ id, application_id: applicationId, status }) => [
          fromBinary<SessionId>(id),
          { applicationId: fromBinary(applicationId), status },
        ]),
      ),
  );
}

/** Those of some sessions that exist, with their applications. Takes no lock, so it waits for nobody. */
export function existingSessions(
  schema: KindSchema,
  wanted: readonly OwnedSession[],
): Query<ReadonlyMap<SessionId, ApplicationId>> {
  return query(
    {
      sql: `SELECT s.id, s.application_id FROM ?? s FORCE INDEX (PRIMARY) WHERE ${isOwned}`,
      bindings: [schema.sessions, ...ownedBindings(wanted)],
    },
    (found: Readonly<Record<'id' | 'application_id', Buffer>>[]) =>
      new Map(
        found.map(({ id, application_id: applicationId }) => [
          fromBinary<SessionId>(id),
          fromBinary<ApplicationId>(applicationId),
        ]),
      ),
  );
}

/** Locks a session exclusively until the transaction ends. */
export function lockSession(schema: KindSchema, id: SessionId): Query<object[]> {
  return select('SELECT id FROM ?? FORCE INDEX (PRIMARY) WHERE id = ? FOR UPDATE', [
    schema.sessions,
    toBinary(id),
  ]);
}
