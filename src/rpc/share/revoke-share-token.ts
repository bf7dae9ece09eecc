import type { handleUnaryCall } from '@grpc/grpc-js';
import { z } from 'zod';
import type { Database } from '../../db/connection';
import type { ApplicationId, SessionId, ShareTokenId } from '../../model/ids';
import { ServiceError } from '../../model/problems';
import {
  SessionShareService,
  type RevokeShareTokenRequest,
  type RevokeShareTokenResponse,
} from '../../gen/sessionimport/v1/session_share';
import { findOwnSession, revokeShares, sharedSession } from '../../store/share-tokens';
import { authorize } from '../call/authorize';
import type { Context } from '../context';
import { onDatabase } from '../on-database';
import { checkRequest, invalidField, optionalId } from '../call/request';
import { unary } from '../call/unary';

const schema = z.object({
  share_token_id: optionalId<ShareTokenId>(),
  session_id: optionalId<SessionId>(),
});

/** What is to be taken back. */
type Target = { readonly shareTokenId: ShareTokenId } | { readonly sessionId: SessionId };

/** Takes back a share token of the caller's application, or all of a session's. */
export function revokeShareToken(
  context: Context,
): handleUnaryCall<RevokeShareTokenRequest, RevokeShareTokenResponse> {
  return unary(SessionShareService.revokeShareToken, context, async (call) => {
    const { applicationId, actor } = await authorize(call, context, 'write:session-shares');
    const target = parse(call.request);
    const one = 'shareTokenId' in target ? target.shareTokenId : undefined;
    call.note(one === undefined ? {} : { share_token_id: one });

    const revocation = await onDatabase(context, async (db) => {
      const shared = await findShared(db, applicationId, target);
      if (!shared) return { revoked: 0, redeemed: 0 };
      call.note({ session_kind: shared.kind, session_id: shared.sessionId });
      return revokeShares(db, applicationId, shared, one, { actor, at: context.clock() });
    });
    call.note({ ...revocation });
    return revocation;
  });
}

function parse({ target }: RevokeShareTokenRequest): Target {
  const fields = checkRequest(schema, {
    share_token_id: target?.$case === 'shareTokenId' ? target.value : undefined,
    session_id: target?.$case === 'sessionId' ? target.value : undefined,
  });
  if (fields.share_token_id !== undefined) return { shareTokenId: fields.share_token_id };
  if (fields.session_id !== undefined) return { sessionId: fields.session_id };
  throw invalidField('target', 'is required: share_token_id or session_id');
}

/**
 * The session whose tokens are meant; undefined if it was never shared.
 *
 * @throws ServiceError with SHARE_TOKEN_NOT_FOUND or SESSION_NOT_FOUND
 */
async function findShared(db: Database, applicationId: ApplicationId, target: Target) {
  const shared = await sharedSession(db, applicationId, target);
  if (shared) return shared;
  if ('shareTokenId' in target) {
    throw new ServiceError({ reason: 'SHARE_TOKEN_NOT_FOUND', ...target });
  }
  if (!(await findOwnSession(db, applicationId, target.sessionId))) {
    throw new ServiceError({ reason: 'SESSION_NOT_FOUND', ...target });
  }
  return undefined;
}
