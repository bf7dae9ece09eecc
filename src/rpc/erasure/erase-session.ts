import { z } from 'zod';
import type {
  EraseSessionRequest,
  EraseSessionResponse,
} from '../../gen/sessionimport/v1/session_erasure';
import { read } from '../../db/query';
import type { SessionId } from '../../model/ids';
import { ServiceError } from '../../model/problems';
import { eraseSessionById } from '../../store/erasures';
import { firstSessionsOfKeyPeople } from '../../store/relations/key-people';
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
  const done = await onDatabase(async (db) => {
    const erasure = await eraseSessionById(db, {
      ...{ sessionId, owner: applicationId, cause: 'request', actor, clock },
    });
    // One more shows whether there are more.
    const linked =
      erasure?.kind === 'business'
        ? [
            ...(
              await read(db, firstSessionsOfKeyPeople(sessionId, applicationId, mostLinked + 1))
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
