import { z } from 'zod';
import {
  ConnectionParty,
  type ListConnectionsRequest,
  type ListConnectionsResponse,
} from '../../gen/sessionimport/v1/session_connection';
import type { ApplicationId } from '../../model/ids';
import {
  connectionKeyset,
  listConnections,
  type ConnectionFilter,
} from '../../store/connections/list';
import type { Caller } from '../call/callers';
import { PageTokens } from '../call/page-tokens';
import { checkRequest, knownValue, optionalId } from '../call/request';
import type { HandlerContext } from '../context';
import { wantedSide, wantedState, wantedStates, wireConnection } from './wire';

const schema = z.object({
  state: knownValue(wantedStates),
  own_side: z
    .number()
    .refine(
      (value) =>
        value === (ConnectionParty.CONNECTION_PARTY_UNSPECIFIED as number) ||
        wantedSide(value) !== undefined,
      'must be source or recipient when set',
    ),
  other_application_id: optionalId<ApplicationId>(),
});

/** Lists the connections and proposals of the caller's application. */
export async function listConnectionsHandler(
  request: ListConnectionsRequest,
  { applicationId }: Caller,
  { onDatabase, clock, annotate }: HandlerContext,
): Promise<ListConnectionsResponse> {
  const fields = checkRequest(schema, {
    state: request.state,
    own_side: request.ownSide,
    other_application_id: request.otherApplicationId,
  });
  const filter: ConnectionFilter = {
    state: wantedState(fields.state),
    side: wantedSide(fields.own_side),
    otherApplicationId: fields.other_application_id,
  };
  const tokens = new PageTokens(['ListConnections', applicationId, filter], connectionKeyset);
  const page = tokens.read(request);
  const at = clock();
  const { items, end } = await onDatabase((db) =>
    listConnections(db, applicationId, filter, at, page),
  );
  annotate({ listed: items.length });
  return {
    connections: items.map((item) => wireConnection(item, at)),
    nextPageToken: tokens.after(end),
  };
}
