import { z } from 'zod';
import type {
  ListShareTokensRequest,
  ListShareTokensResponse,
} from '../../gen/sessionimport/v1/session_share';
import { read } from '../../db/query';
import type { SessionId } from '../../model/ids';
import { ServiceError } from '../../model/problems';
import { sessionById } from '../../store/sessions/find';
import { listShares, shareTokenKeyset } from '../../store/share-tokens';
import { readSurely } from '../../store/surely';
import type { Caller } from '../call/callers';
import { PageTokens } from '../call/page-tokens';
import { checkRequest, requiredId } from '../call/request';
import type { HandlerContext } from '../context';
import { wireShare } from './wire';

const schema = z.object({ session_id: requiredId<SessionId>() });

/** Lists the share tokens of a session of the caller's application. */
export async function listShareTokens(
  request: ListShareTokensRequest,
  { applicationId }: Caller,
  { onDatabase, annotate }: HandlerContext,
): Promise<ListShareTokensResponse> {
  const { session_id: sessionId } = checkRequest(schema, { session_id: request.sessionId });
  const tokens = new PageTokens(['ListShareTokens', applicationId, sessionId], shareTokenKeyset);
  const wanted = tokens.read(request);

  const { items, end } = await onDatabase(async (db) => {
    const page = await listShares(db, applicationId, sessionId, wanted);
    if (page.items.length > 0 || wanted.after !== undefined) return page;
    const session = sessionById(sessionId, applicationId);
    if (await readSurely(db, (from) => read(from, session))) return page;
    throw new ServiceError({ reason: 'SESSION_NOT_FOUND', sessionId });
  });
  annotate({ session_id: sessionId, listed: items.length });
  return { shareTokens: items.map(wireShare), nextPageToken: tokens.after(end) };
}
