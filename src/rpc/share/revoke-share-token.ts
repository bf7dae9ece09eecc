import { z } from 'zod';
import type {
  RevokeShareTokenRequest,
  RevokeShareTokenResponse,
} from '../../gen/sessionimport/v1/session_share';
import type { TextDatabase } from '../../db/database';
import { read } from '../../db/query';
import type { ApplicationId, SessionId, ShareTokenId } from '../../model/ids';
import { ServiceError } from '../../model/problems';
import { sessionById } from '../../store/sessions/find';
import { revokeShareTokens, type Revoker } from '../../store/revoke-share-tokens';
import { findSharedSession, type SharedSession } from '../../store/share-tokens';
import { readSurely } from '../../store/surely';
import type { Caller } from '../call/callers';
import { checkRequest, invalidField, optionalId } from '../call/request';
import type { HandlerContext } from '../context';

const schema = z.object({
  share_token_id: optionalId<ShareTokenId>(),
  session_id: optionalId<SessionId>(),
});

/** What is to be revoked. */
type Target = { readonly shareTokenId: ShareTokenId } | { readonly sessionId: SessionId };

/** Revokes a share token of the caller's application, or all share tokens of a session. */
export async function revokeShareToken(
  request: RevokeShareTokenRequest,
  { applicationId, actor }: Caller,
  { onDatabase, clock, annotate }: HandlerContext,
): Promise<RevokeShareTokenResponse> {
  const target = parse(request);
  const one = 'shareTokenId' in target ? target.shareTokenId : undefined;
  if (one !== undefined) annotate({ share_token_id: one });

  const by: Revoker = { actor, clock };
  const revocation = await onDatabase(async (db) => {
    const shared = await findShared(db, applicationId, target);
    if (!shared) return { revoked: 0, redeemed: 0 };
    annotate({ session_kind: shared.kind, session_id: shared.sessionId });
    return revokeShareTokens(db, applicationId, shared, one, by);
  });
  annotate({ ...revocation });
  return revocation;
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
async function findShared(
  db: TextDatabase,
  applicationId: ApplicationId,
  target: Target,
): Promise<SharedSession | undefined> {
  const shared = await readSurely(db, (from) => findSharedSession(from, applicationId, target));
  if (shared) return shared;
  if ('shareTokenId' in target) {
    throw new ServiceError({ reason: 'SHARE_TOKEN_NOT_FOUND', ...target });
  }
  const session = sessionById(target.sessionId, applicationId);
  if (!(await readSurely(db, (from) => read(from, session)))) {
    throw new ServiceError({ reason: 'SESSION_NOT_FOUND', ...target });
  }
  return undefined;
}
