import { z } from 'zod';
import type {
  EndConnectionRequest,
  EndConnectionResponse,
} from '../../gen/sessionimport/v1/session_connection';
import { sideOf } from '../../model/connection-record';
import type { ConnectionId } from '../../model/ids';
import { must } from '../../model/must';
import { endConnection } from '../../store/connections/end';
import { requireConnection } from '../../store/connections/find';
import type { Caller } from '../call/callers';
import { checkRequest, requiredId } from '../call/request';
import type { HandlerContext } from '../context';
import { wireConnection } from './wire';

const schema = z.object({ connection_id: requiredId<ConnectionId>() });

/** Ends a connection of the caller's application, declines a proposal to it, or withdraws one of its own. */
export async function endConnectionHandler(
  request: EndConnectionRequest,
  { applicationId, actor }: Caller,
  { onDatabase, clock, annotate }: HandlerContext,
): Promise<EndConnectionResponse> {
  const { connection_id: connectionId } = checkRequest(schema, {
    connection_id: request.connectionId,
  });
  annotate({ connection_id: connectionId });
  const ended = await onDatabase(async (db) => {
    const found = await requireConnection(db, connectionId, applicationId);
    const party = must(sideOf(found, applicationId), 'the side of the caller');
    return endConnection(db, connectionId, { party, actor, clock });
  });
  return { connection: wireConnection(ended, clock()) };
}
