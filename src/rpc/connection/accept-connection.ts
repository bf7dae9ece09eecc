import { z } from 'zod';
import type {
  AcceptConnectionRequest,
  AcceptConnectionResponse,
} from '../../gen/sessionimport/v1/session_connection';
import { sideOf } from '../../model/connection-record';
import type { ConnectionId } from '../../model/ids';
import { must } from '../../model/must';
import { ServiceError } from '../../model/problems';
import { acceptConnection } from '../../store/connections/accept';
import { requireConnection } from '../../store/connections/find';
import type { Caller } from '../call/callers';
import { checkRequest, requiredId } from '../call/request';
import type { HandlerContext } from '../context';
import { wireConnection } from './wire';

const schema = z.object({ connection_id: requiredId<ConnectionId>() });

/** Accepts a proposal of another application. */
export async function acceptConnectionHandler(
  request: AcceptConnectionRequest,
  { applicationId, actor }: Caller,
  { onDatabase, clock, annotate }: HandlerContext,
): Promise<AcceptConnectionResponse> {
  const { connection_id: connectionId } = checkRequest(schema, {
    connection_id: request.connectionId,
  });
  annotate({ connection_id: connectionId });
  const accepted = await onDatabase(async (db) => {
    const proposal = await requireConnection(db, connectionId, applicationId);
    const party = must(sideOf(proposal, applicationId), 'the side of the caller');
    if (proposal.proposedBy === party) {
      throw new ServiceError({ reason: 'CONNECTION_OWN_PROPOSAL', connectionId });
    }
    return acceptConnection(db, proposal, { party, actor, clock });
  });
  return { connection: wireConnection(accepted, clock()) };
}
