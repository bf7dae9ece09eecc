import { z } from 'zod';
import type {
  ShareSessionRequest,
  ShareSessionResponse,
} from '../../gen/sessionimport/v1/session_share';
import type { TextDatabase } from '../../db/database';
import { read } from '../../db/query';
import { newId, type ApplicationId, type SessionId, type ShareTokenId } from '../../model/ids';
import { wholeSeconds } from '../../model/moments';
import { ServiceError } from '../../model/problems';
import { scopeOfChoice } from '../../model/scope';
import { maxLifetime, minLifetime } from '../../model/share-lifetime';
import { finishedStatuses, type SessionKind } from '../../model/session';
import { applicationExists } from '../../store/accounts';
import { sessionById, type SessionSummary } from '../../store/sessions/find';
import { recordShareToken, type ShareTokenRecord } from '../../store/share-tokens';
import { readSurely } from '../../store/surely';
import type { Caller } from '../call/callers';
import { checkRequest, ownApplication, requiredId } from '../call/request';
import type { HandlerContext } from '../context';
import { fieldsOfGrounds, futureGrounds, groundsRule } from '../grounds';
import { relations, scopeOfRequest } from './relations';
import { requireActiveConnection } from './require-active-connection';
import { wireShare } from './wire';

/** The default lifetime of a share token, in seconds. */
const defaultLifetime = 3_600;

const lifetime = z
  .object({ seconds: z.number(), nanos: z.number() })
  .refine(
    ({ seconds, nanos }) => nanos === 0 && seconds >= minLifetime && seconds <= maxLifetime,
    `must be whole seconds from ${minLifetime} to ${maxLifetime} when present`,
  )
  .transform(({ seconds }) => seconds);

const schema = z.object({
  session_id: requiredId<SessionId>(),
  for_application_id: requiredId<ApplicationId>(),
  ttl: lifetime.default(defaultLifetime),
  grounds: groundsRule.optional(),
  relations,
});

/** Makes a share token for a session of the caller's application, and records it. */
export async function shareSession(
  request: ShareSessionRequest,
  { applicationId, actor }: Caller,
  { onDatabase, signer, clock, requireConnections, annotate }: HandlerContext,
): Promise<ShareSessionResponse> {
  const {
    session_id: sessionId,
    for_application_id: forApplicationId,
    ttl,
    grounds: given,
    relations: names,
  } = checkRequest(
    schema,
    {
      session_id: request.sessionId,
      for_application_id: request.forApplicationId,
      ttl: request.ttl,
      grounds: fieldsOfGrounds(request.grounds),
      relations: request.relations,
    },
    [
      ownApplication('for_application_id', request.forApplicationId, applicationId),
      futureGrounds('grounds', request.grounds, clock()),
    ],
  );
  if (!signer) throw new ServiceError({ reason: 'SHARING_NOT_CONFIGURED' });
  const isLinked = (kind: SessionKind): boolean =>
    kind === 'business' && request.includeLinkedSessions;
  const { kind } = await onDatabase(async (db) => {
    const session = await findSession(db, applicationId, sessionId);
    if (requireConnections) {
      const pair = {
        sourceApplicationId: applicationId,
        recipientApplicationId: forApplicationId,
      };
      const asked = session && {
        kind: session.kind,
        linkedSessions: isLinked(session.kind),
        trustReview: false,
        ttl,
        relations: scopeOfChoice(names),
        grounds: given !== undefined,
      };
      await requireActiveConnection(db, pair, asked, clock());
    }
    const shareable = requireShareable(session, sessionId);
    const known = await readSurely(db, (from) => applicationExists(from, forApplicationId));
    if (known) return shareable;
    throw new ServiceError({ reason: 'RECIPIENT_NOT_FOUND', applicationId: forApplicationId });
  });

  const linkedSessions = isLinked(kind);
  const scope = scopeOfRequest(names, kind, linkedSessions);
  const createdAt = wholeSeconds(clock());
  const share: ShareTokenRecord = {
    id: newId<ShareTokenId>(),
    applicationId,
    sessionId,
    kind,
    forApplicationId,
    linkedSessions,
    scope,
    grounds: given ?? null,
    actor,
    createdAt,
    expiresAt: new Date(createdAt.getTime() + ttl * 1_000),
  };
  const shareToken = await signer.sign({
    id: share.id,
    sessionId,
    kind,
    fromApplicationId: applicationId,
    forApplicationId,
    includeLinkedSessions: linkedSessions,
    grounds: share.grounds,
    scope,
    lifetime: ttl,
    issuedAt: createdAt,
  });
  await onDatabase((db) => recordShareToken(db, share));
  annotate({
    session_kind: kind,
    session_id: sessionId,
    for_application_id: forApplicationId,
    share_token_id: share.id,
  });
  return { shareToken, details: wireShare({ ...share, redeemedAt: null, revokedAt: null }) };
}

/** A session of an application; undefined: it has no such session. */
function findSession(
  db: TextDatabase,
  applicationId: ApplicationId,
  sessionId: SessionId,
): Promise<SessionSummary | undefined> {
  return readSurely(
    db,
    (from) => read(from, sessionById(sessionId, applicationId)),
    (found) => found?.withdrawnAt !== null || !finishedStatuses.has(found.status),
  );
}

/** @throws ServiceError with SESSION_NOT_FOUND, SESSION_WITHDRAWN or SESSION_NOT_FINISHED */
function requireShareable(
  session: SessionSummary | undefined,
  sessionId: SessionId,
): SessionSummary {
  if (!session) throw new ServiceError({ reason: 'SESSION_NOT_FOUND', sessionId });
  if (session.withdrawnAt) throw new ServiceError({ reason: 'SESSION_WITHDRAWN', sessionId });
  const { status } = session;
  if (finishedStatuses.has(status)) return session;
  throw new ServiceError({ reason: 'SESSION_NOT_FINISHED', sessionId, status });
}
