import { z } from 'zod';
import type {
  ProposeConnectionRequest,
  ProposeConnectionResponse,
} from '../../gen/sessionimport/v1/session_connection';
import type { ConnectionSide } from '../../model/connection-record';
import { newId, type ApplicationId, type ConnectionId } from '../../model/ids';
import { proposeConnection } from '../../store/connections/propose';
import type { Caller } from '../call/callers';
import { checkingClock, checkRequest, ownApplication, requiredId } from '../call/request';
import type { HandlerContext } from '../context';
import { fieldsOfTerms, overCertification, termsRule } from './terms';
import { wantedSide, wireConnection } from './wire';

const ownSide = z.number().transform((value, context): ConnectionSide => {
  const side = wantedSide(value);
  if (side) return side;
  context.addIssue('is required: source or recipient');
  return z.NEVER;
});

const schema = z.object({
  other_application_id: requiredId<ApplicationId>(),
  own_side: ownSide,
  terms: termsRule,
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
  const {
    other_application_id: other,
    own_side: party,
    terms,
  } = parse(request, applicationId, clock());
  const [sourceApplicationId, recipientApplicationId] =
    party === 'source' ? [applicationId, other] : [other, applicationId];
  const proposal = {
    ...{ id: newId<ConnectionId>(), sourceApplicationId, recipientApplicationId, terms },
    ...{ party, actor, clock: checkingClock(clock, (now) => parse(request, applicationId, now)) },
  };
  let triedBefore = false;
  const proposed = await onDatabase((db) => {
    const wanted = { ...proposal, triedBefore };
    triedBefore = true;
    return proposeConnection(db, wanted);
  });
  annotate({ connection_id: proposed.id });
  return { connection: wireConnection(proposed, clock()) };
}

function parse(request: ProposeConnectionRequest, applicationId: ApplicationId, now: Date) {
  return checkRequest(
    schema,
    {
      other_application_id: request.otherApplicationId,
      own_side: request.ownSide,
      terms: fieldsOfTerms(request.terms),
    },
    [
      ownApplication('other_application_id', request.otherApplicationId, applicationId),
      overCertification('terms', request.terms, now),
    ],
  );
}
