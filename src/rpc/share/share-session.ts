import type { handleUnaryCall } from '@grpc/grpc-js';
import { z } from 'zod';
import { applicationExists } from '../call/callers';
import { newId, type ApplicationId, type SessionId, type ShareTokenId } from '../../model/ids';
import { ServiceError } from '../../model/problems';
import {
  SessionShareService,
  type ShareSessionRequest,
  type ShareSessionResponse,
} from '../../gen/sessionimport/v1/session_share';
import { finishedStatuses } from '../../model/session';
import {
  findOwnSession,
  recordShare,
  type OwnSession,
  type ShareRecord,
} from '../../store/share-tokens';
import { longestLifetime } from '../../token/share-token';
import { authorize } from '../call/authorize';
import type { Context } from '../context';
import { onDatabase } from '../on-database';
import { checkRequest, requiredId } from '../call/request';
import { wireShare } from './wire';
import { unary } from '../call/unary';

/** How long a share token is good for, in seconds, at least and if nobody says. */
const shortestLifetime = 60;
const usualLifetime = 3_600;

const lifetime = z
  .object({ seconds: z.number(), nanos: z.number() })
  .refine(
    ({ seconds, nanos }) =>
      nanos === 0 && seconds >= shortestLifetime && seconds <= longestLifetime,
    `must be whole seconds from ${shortestLifetime} to ${longestLifetime} when present`,
  )
  .transform(({ seconds }) => seconds);

const schemaFor = (caller: ApplicationId) =>
  z.object({
    session_id: requiredId<SessionId>(),
    for_application_id: requiredId<ApplicationId>().refine(
      (id) => id !== caller,
      'must be another application than your own',
    ),
    ttl: lifetime.default(usualLifetime),
  });

/** Makes a share token for a session of the caller's application, and records it. */
export function shareSession(
  context: Context,
): handleUnaryCall<ShareSessionRequest, ShareSessionResponse> {
  return unary(SessionShareService.shareSession, context, async (call) => {
    const { applicationId, actor } = await authorize(call, context, 'write:session-shares');
    const request = checkRequest(schemaFor(applicationId), {
      session_id: call.request.sessionId,
      for_application_id: call.request.forApplicationId,
      ttl: call.request.ttl,
    });
    const { signer } = context;
    if (!signer) throw new ServiceError({ reason: 'SHARING_NOT_CONFIGURED' });
    const sessionId = request.session_id;
    const forApplicationId = request.for_application_id;
    const { kind } = await requireShareable(context, applicationId, sessionId);
    await requireRecipient(context, forApplicationId);

    const linkedSessions = kind === 'business' && call.request.includeLinkedSessions;
    const createdAt = wholeSeconds(context.clock());
    const share: ShareRecord = {
      id: newId<ShareTokenId>(),
      applicationId,
      sessionId,
      kind,
      forApplicationId,
      linkedSessions,
      actor,
      createdAt,
      expiresAt: new Date(createdAt.getTime() + request.ttl * 1_000),
    };
    const token = await signer.sign({
      id: share.id,
      sessionId,
      kind,
      fromApplicationId: applicationId,
      forApplicationId,
      includeLinkedSessions: linkedSessions,
      lifetime: request.ttl,
      issuedAt: createdAt,
    });
    await onDatabase(context, (db) => recordShare(db, share));
    call.note({
      session_kind: kind,
      session_id: sessionId,
      for_application_id: forApplicationId,
      share_token_id: share.id,
    });
    const details = wireShare({ ...share, redeemedAt: null, revokedAt: null });
    return { shareToken: token, details };
  });
}

async function requireShareable(
  context: Context,
  applicationId: ApplicationId,
  sessionId: SessionId,
): Promise<OwnSession> {
  const session = await onDatabase(context, (db) => findOwnSession(db, applicationId, sessionId));
  if (!session) throw new ServiceError({ reason: 'SESSION_NOT_FOUND', sessionId });
  const { status } = session;
  if (!finishedStatuses.has(status)) {
    throw new ServiceError({ reason: 'SESSION_NOT_FINISHED', sessionId, status });
  }
  return session;
}

async function requireRecipient(context: Context, applicationId: ApplicationId): Promise<void> {
  if (!(await onDatabase(context, (db) => applicationExists(db, applicationId)))) {
    throw new ServiceError({ reason: 'RECIPIENT_NOT_FOUND', applicationId });
  }
}

/** Tokens count whole seconds (RFC 7519, section 2, allows fractions; few expect them). */
function wholeSeconds(moment: Date): Date {
  return new Date(Math.floor(moment.getTime() / 1_000) * 1_000);
}
