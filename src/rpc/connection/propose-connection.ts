import { z } from 'zod';
import type {
  ProposeConnectionRequest,
  ProposeConnectionResponse,
} from '../../gen/sessionimport/v1/session_connection';
import type { ConnectionSide } from '../../model/connection-record';
import { newId, type ApplicationId, type ConnectionId } from '../../model/ids';
import { proposeConnection } from '../../store/connections/propose';
import type { Caller } from '../call/callers';
import { checkRequest, requiredId } from '../call/request';
import type { HandlerContext } from '../context';
import { fieldsOfTerms, termsRule } from './terms';
import { wantedSide, wireConnection } from './wire';

const ownSide = z.number().transform((value, context): ConnectionSide => {
  const side = wantedSide(value);
  if (side) return side;
  context.addIssue('is required: source or recipient');
  return z.NEVER;
});

const schemaFor = (caller: ApplicationId, now: Date) =>
  z.object({
    other_application_id: requiredId<ApplicationId>().refine(
      (id) => id !== caller,
      'must be another application than your own',
    ),
    own_side: ownSide,
    terms: termsRule(now),
  });

/**
 * Proposes a connection between the caller's application and another one. Nothing here checks whether the other one
 * exists, so no answer can show it.
 */
export async function proposeConnectionHandler(
  request: ProposeConnectionRequest,
  { applicationId, actor }: Caller,
  { onDatabase, clock, annotate }: HandlerContext,
): Promise<ProposeConnectionResponse> {
  const at = clock();
  const {
    other_application_id: other,
    own_side: party,
    terms,
  } = checkRequest(schemaFor(applicationId, at), {
    other_application_id: request.otherApplicationId,
    own_side: request.ownSide,
    terms: fieldsOfTerms(request.terms),
  });
  const [sourceApplicationId, recipientApplicationId] =
    party === 'source' ? [applicationId, other] : [other, applicationId];
  const proposal = {
    ...{ id: newId<ConnectionId>(), sourceApplicationId, recipientApplicationId, terms },
    ...{ party, actor, at },
  };
  let triedBefore = false;
  const proposed = await onDatabase((db) => {
    const wanted = { ...proposal, triedBefore };
    triedBefore = true;
    return proposeConnection(db, wanted);
  });
  annotate({ connection_id: proposed.id });
  return { connection: wireConnection(proposed, at) };
}
