import { z } from 'zod';
import type {
  ListReceivedShareTokensRequest,
  ListReceivedShareTokensResponse,
  ReceivedShareToken as WireToken,
} from '../../gen/sessionimport/v1/session_share';
import type { ApplicationId } from '../../model/ids';
import {
  listReceivedShares,
  receivedKeyset,
  type ReceivedFilter,
  type ReceivedShareToken,
} from '../../store/received-share-tokens';
import type { Caller } from '../call/callers';
import { PageTokens } from '../call/page-tokens';
import { checkRequest, knownValue, optionalId } from '../call/request';
import type { HandlerContext } from '../context';
import { wireGrounds } from '../grounds';
import { wantedKind, wantedKinds, wireKinds } from '../wire';

const schema = z.object({
  session_kind: knownValue(wantedKinds),
  shared_from_application: optionalId<ApplicationId>(),
});

/** Lists the share tokens of others that the caller's application can still use. */
export async function listReceivedShareTokens(
  request: ListReceivedShareTokensRequest,
  { applicationId }: Caller,
  { onDatabase, clock, annotate }: HandlerContext,
): Promise<ListReceivedShareTokensResponse> {
  const fields = checkRequest(schema, {
    session_kind: request.sessionKind,
    shared_from_application: request.sharedFromApplication,
  });
  const filter: Omit<ReceivedFilter, 'expireAfter'> = {
    kind: wantedKind(fields.session_kind),
    sourceApplicationId: fields.shared_from_application,
  };
  const { includeExpired } = request;
  const tokens = new PageTokens(
    ['ListReceivedShareTokens', applicationId, filter, includeExpired],
    receivedKeyset,
  );
  const page = tokens.read(request);
  const expireAfter = includeExpired ? undefined : clock();
  const { items, end } = await onDatabase((db) =>
    listReceivedShares(db, applicationId, { ...filter, expireAfter }, page),
  );
  annotate({ listed: items.length });
  return { shareTokens: items.map(wireReceived), nextPageToken: tokens.after(end) };
}

function wireReceived(token: ReceivedShareToken): WireToken {
  return {
    shareTokenId: token.id,
    sessionKind: wireKinds[token.kind],
    sharedFromApplication: token.sourceApplicationId,
    createdAt: token.createdAt,
    expiresAt: token.expiresAt,
    includesLinkedSessions: token.linkedSessions,
    grounds: wireGrounds(token.grounds),
    relations: [...(token.scope ?? [])],
  };
}
