import { inKeyOrder } from '../../db/key-order';
import { inList, query, select, type Query } from '../../db/query';
import { fromBinary, toBinary, type ApplicationId, type SessionId } from '../../model/ids';
import type { KindSchema } from '../../model/relations';
import type { Scope } from '../../model/scope';
import type { SessionStatus } from '../../model/session';
import { scopeColumn, scopeOf, type ScopeRow } from '../scope-column';
import { verifiedAt } from './verified-at';
import { isOnCalendar } from './version';

/** A session that is locked: nobody changes it, or its relations, until the transaction ends. */
export interface LockedSession {
  readonly applicationId: ApplicationId;
  readonly status: SessionStatus;
  /** When it was last changed: DATETIME(6) as text, because a `Date` would be rounded. Null: at no valid date. */
  readonly updatedAt: string | null;
  /** When the verification was decided; null: unknown. */
  readonly verifiedAt: Date | null;
  /** Whether a withdrawal stops imports of it: also a correction further up, until its application has answered KEPT. */
  readonly withdrawn: boolean;
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

/**
 * Share-locks sessions, in key order, until the transaction ends. Those that do not exist or were erased are
 * missing, and with `skip` also those that somebody else holds.
 *
 * Whoever changes a session's relations holds its row exclusively; so what is counted and copied
 * afterwards is one version of the session, although READ COMMITTED gives every statement a new
 * snapshot.
 */
export function shareLockSessions(
  schema: KindSchema,
  wanted: readonly SessionId[],
  locking: Locking,
): Query<ReadonlyMap<SessionId, LockedSession>> {
  interface Row {
    readonly id: Buffer;
    readonly application_id: Buffer;
    readonly status: SessionStatus;
    readonly changed: string | null;
    readonly verified: Date | null;
    readonly withdrawn: number;
  }
  const ids = inKeyOrder([...new Set(wanted)], (id) => id);
  return query(
    {
      // Without the hint, MySQL would scan a small table, and wait for the locks of unrelated sessions.
      sql: `SELECT s.id, s.application_id, s.status, ${verifiedAt('s')} AS verified,
              IF(${isOnCalendar('s.updated_at')}, CAST(s.updated_at AS CHAR), NULL) AS changed,
              s.withdrawn_at IS NOT NULL AS withdrawn
            FROM ?? s FORCE INDEX (PRIMARY)
            WHERE s.id IN (?) AND s.erased_at IS NULL ORDER BY s.id ${shareLock[locking]}`,
      bindings: [schema.sessions, inList(ids.map(toBinary))],
    },
    (found: Row[]) =>
      new Map(
        found.map((row) => [
          fromBinary<SessionId>(row.id),
          {
            applicationId: fromBinary(row.application_id),
            status: row.status,
            updatedAt: row.changed,
            verifiedAt: row.verified,
            withdrawn: row.withdrawn === 1,
          },
        ]),
      ),
  );
}

/** Whose a session is. Nobody changes any of this. */
export interface Ownership {
  readonly applicationId: ApplicationId;
  /** What the application has of the session's original; null: the session is no copy, or a copy of everything. */
  readonly scope: Scope;
}

/**
 * The owners of sessions. Those that do not exist or were erased are missing. It takes no lock, so it waits for nobody.
 */
export function ownersOfSessions(
  schema: KindSchema,
  ids: readonly SessionId[],
): Query<ReadonlyMap<SessionId, Ownership>> {
  return query(
    {
      sql: `SELECT id, application_id, ${scopeColumn} FROM ?? FORCE INDEX (PRIMARY)
            WHERE id IN (?) AND erased_at IS NULL`,
      bindings: [schema.sessions, inList(ids.map(toBinary))],
    },
    (found: (ScopeRow & Readonly<Record<'id' | 'application_id', Buffer>>)[]) =>
      new Map(
        found.map((row) => [
          fromBinary<SessionId>(row.id),
          { applicationId: fromBinary<ApplicationId>(row.application_id), scope: scopeOf(row) },
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
