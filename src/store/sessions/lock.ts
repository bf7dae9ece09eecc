import type { Database } from '../../db/database';
import { inKeyOrder } from '../../db/key-order';
import { inList, query, read, select, type Query } from '../../db/query';
import { fromBinary, toBinary, type ApplicationId, type SessionId } from '../../model/ids';
import type { KindSchema } from '../../model/relations';
import type { SessionStatus } from '../../model/session';

/** A session that is locked: nobody changes it, or its relations, until the transaction ends. */
export interface LockedSession {
  readonly applicationId: ApplicationId;
  readonly status: SessionStatus;
}

/**
 * Share-locks sessions, in key order, until the transaction ends; those that do not exist are missing.
 *
 * Whoever changes a session's relations holds its row exclusively; so what is counted and copied
 * afterwards is one version of the session, although READ COMMITTED gives every statement a new
 * snapshot.
 */
export function shareLockSessions(
  schema: KindSchema,
  wanted: readonly SessionId[],
): Query<ReadonlyMap<SessionId, LockedSession>> {
  interface Row {
    readonly id: Buffer;
    readonly application_id: Buffer;
    readonly status: SessionStatus;
  }
  const ids = inKeyOrder([...new Set(wanted)], (id) => id);
  return query(
    {
      // LOCK IN SHARE MODE is the spelling of FOR SHARE that MariaDB knows too. Without the index, the
      // plan for a small table would be a scan, which waits for the locks of unrelated sessions.
      sql: `SELECT id, application_id, status FROM ?? FORCE INDEX (PRIMARY)
            WHERE id IN (?) ORDER BY id LOCK IN SHARE MODE`,
      bindings: [schema.sessions, inList(ids.map(toBinary))],
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

/** Whose sessions are, of those that exist. Waits for nobody: no lock is asked for. */
export function ownersOfSessions(
  schema: KindSchema,
  ids: readonly SessionId[],
): Query<ReadonlyMap<SessionId, ApplicationId>> {
  return query(
    {
      sql: 'SELECT id, application_id FROM ?? FORCE INDEX (PRIMARY) WHERE id IN (?)',
      bindings: [schema.sessions, ids.map(toBinary)],
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

/**
 * The sessions that somebody holds exclusively at this moment.
 *
 * @param ids sessions that exist.
 * @throws an error of the database if it can't tell: MariaDB before 10.6 has no SKIP LOCKED.
 */
export async function findLockedSessions(
  db: Database,
  schema: KindSchema,
  ids: readonly SessionId[],
): Promise<ReadonlySet<SessionId>> {
  if (ids.length === 0) return new Set();
  const free = await read(
    db,
    select<{ id: Buffer }>(
      'SELECT id FROM ?? FORCE INDEX (PRIMARY) WHERE id IN (?) FOR SHARE SKIP LOCKED',
      [schema.sessions, ids.map(toBinary)],
    ),
  );
  const locked = new Set(ids);
  for (const { id } of free) locked.delete(fromBinary(id));
  return locked;
}
