import { z } from 'zod';
import type {
  EraseSessionRequest,
  EraseSessionResponse,
} from '../../gen/sessionimport/v1/session_erasure';
import type { TextDatabase } from '../../db/database';
import { read, readTogether } from '../../db/query';
import type { ApplicationId, SessionId } from '../../model/ids';
import { ServiceError } from '../../model/problems';
import type { Actor } from '../../model/session';
import { eraseSession as erase, erasureOf, type Erasure } from '../../store/erasures';
import { sessionsOfKeyPeople } from '../../store/relations/key-people';
import { sessionById } from '../../store/sessions/find';
import { readSurely } from '../../store/surely';
import type { Caller } from '../call/callers';
import { checkRequest, requiredId } from '../call/request';
import type { HandlerContext } from '../context';
import { wireKinds } from '../wire';

const schema = z.object({ session_id: requiredId<SessionId>() });

/** The most linked sessions that an answer names. */
const mostLinked = 500;

/** Erases a session of the caller's application. */
export async function eraseSession(
  request: EraseSessionRequest,
  { applicationId, actor }: Caller,
  { onDatabase, clock, annotate }: HandlerContext,
): Promise<EraseSessionResponse> {
  const { session_id: sessionId } = checkRequest(schema, { session_id: request.sessionId });
  annotate({ session_id: sessionId });
  // All tries use the same timestamp.
  const at = clock();
  const done = await onDatabase(async (db) => {
    const erasure = await eraseOnce(db, { applicationId, sessionId, actor, at });
    // One more shows whether there are more.
    const linked =
      erasure?.kind === 'business'
        ? [
            ...(
              await read(db, sessionsOfKeyPeople(sessionId, applicationId, mostLinked + 1))
            ).keys(),
          ]
        : [];
    return erasure && { erasure, linked };
  });
  if (!done) throw new ServiceError({ reason: 'SESSION_NOT_FOUND', sessionId });
  const { erasure, linked } = done;
  annotate({ session_kind: erasure.kind, linked_sessions: linked.length });
  return {
    erasedAt: erasure.erasedAt,
    sessionKind: wireKinds[erasure.kind],
    linkedSessions: linked.slice(0, mostLinked),
    moreLinkedSessions: linked.length > mostLinked,
  };
}

/** @returns the erasure, also if it was made before; undefined: the application never had such a session. */
async function eraseOnce(
  db: TextDatabase,
  by: {
    readonly applicationId: ApplicationId;
    readonly sessionId: SessionId;
    readonly actor: Actor;
    readonly at: Date;
  },
): Promise<Erasure | undefined> {
  const { applicationId: owner, sessionId, actor, at } = by;
  const [session, before] = await readSurely(
    db,
    (from) => readTogether(from, [sessionById(sessionId, owner), erasureOf(sessionId, owner)]),
    ([found, erasure]) => !found && !erasure,
  );
  if (before) return before;
  if (!session) return undefined;
  const wanted = { sessionId, kind: session.kind, owner, cause: 'request', actor, at } as const;
  // Somebody else may have erased it meanwhile, and the job deleted it.
  return (await erase(db, wanted)) ?? read(db, erasureOf(sessionId, owner));
}
