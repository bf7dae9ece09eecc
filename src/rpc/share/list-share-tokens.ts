import type { handleUnaryCall } from '@grpc/grpc-js';
import { z } from 'zod';
import { isUuid, toId, type SessionId, type ShareTokenId } from '../../model/ids';
import { ServiceError } from '../../model/problems';
import {
  SessionShareService,
  type ListShareTokensRequest,
  type ListShareTokensResponse,
} from '../../gen/sessionimport/v1/session_share';
import { findOwnSession, listShares } from '../../store/share-tokens';
import { authorize } from '../call/authorize';
import type { Context } from '../context';
import { onDatabase } from '../on-database';
import { Pages } from '../call/paging';
import { checkRequest, requiredId } from '../call/request';
import { unary } from '../call/unary';
import { wireShare } from './wire';

const schema = z.object({ session_id: requiredId<SessionId>() });

/** A page ends with a token; those after it are older. */
const cursor = z
  .string()
  .refine(isUuid)
  .transform((id) => toId<ShareTokenId>(id));

/** Lists the share tokens of a session of the caller's application. */
export function listShareTokens(
  context: Context,
): handleUnaryCall<ListShareTokensRequest, ListShareTokensResponse> {
  return unary(SessionShareService.listShareTokens, context, async (call) => {
    const { applicationId } = await authorize(call, context, 'read:session-shares');
    const { session_id: sessionId } = checkRequest(schema, { session_id: call.request.sessionId });
    const pages = new Pages(['ListShareTokens', applicationId, sessionId], cursor);
    const { size, after } = pages.read(call.request);

    const found = await onDatabase(context, async (db) => {
      const shares = await listShares(db, applicationId, sessionId, { after, limit: size + 1 });
      if (shares.length > 0 || after !== undefined) return shares;
      if (await findOwnSession(db, applicationId, sessionId)) return shares;
      throw new ServiceError({ reason: 'SESSION_NOT_FOUND', sessionId });
    });
    const page = found.slice(0, size);
    call.note({ session_id: sessionId, listed: page.length });
    return {
      shareTokens: page.map(wireShare),
      nextPageToken: found.length > size ? pages.tokenAfter(page.at(-1)?.id) : '',
    };
  });
}
