import { z } from 'zod';
import type {
  ListWithdrawalsRequest,
  ListWithdrawalsResponse,
} from '../../gen/sessionimport/v1/session_share';
import type { SessionId } from '../../model/ids';
import { must } from '../../model/must';
import { listWithdrawnCopies, withdrawalKeysets } from '../../store/withdrawals/list';
import type { Caller } from '../call/callers';
import { PageTokens } from '../call/page-tokens';
import { checkRequest, optionalId } from '../call/request';
import { wantedSide } from '../connection/wire';
import type { HandlerContext } from '../context';
import { wireWithdrawal } from './withdrawals';

const schema = z.object({
  own_side: z
    .number()
    .refine((value) => wantedSide(value) !== undefined, 'is required: source or recipient')
    .transform((value) => must(wantedSide(value), 'a side')),
  session_id: optionalId<SessionId>(),
});

/** Lists withdrawn copies: the caller's own, or those that others have made of its sessions. */
export async function listWithdrawals(
  request: ListWithdrawalsRequest,
  { applicationId }: Caller,
  { onDatabase, annotate }: HandlerContext,
): Promise<ListWithdrawalsResponse> {
  const { own_side: side, session_id: sessionId } = checkRequest(schema, {
    own_side: request.ownSide,
    session_id: request.sessionId,
  });
  const scope = ['ListWithdrawals', applicationId, side, sessionId];
  const tokens = new PageTokens(scope, withdrawalKeysets[side]);
  const page = tokens.read(request);
  const { items, end } = await onDatabase((db) =>
    listWithdrawnCopies(db, applicationId, side, sessionId, page),
  );
  annotate({ listed: items.length });
  return {
    withdrawals: items.map((item) => wireWithdrawal(item, side)),
    nextPageToken: tokens.after(end),
  };
}
