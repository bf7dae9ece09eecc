import { z } from 'zod';
import type {
  GetConnectionRequest,
  GetConnectionResponse,
} from '../../gen/sessionimport/v1/session_connection';
import type { ConnectionId } from '../../model/ids';
import { requireConnection } from '../../store/connections/find';
import type { Caller } from '../call/callers';
import { checkRequest, requiredId } from '../call/request';
import type { HandlerContext } from '../context';
import { wireConnection } from './wire';

const schema = z.object({ connection_id: requiredId<ConnectionId>() });

/** Shows a connection of the caller's application. */
export async function getConnection(
  request: GetConnectionRequest,
  { applicationId }: Caller,
  { onDatabase, clock, annotate }: HandlerContext,
): Promise<GetConnectionResponse> {
  const { connection_id: connectionId } = checkRequest(schema, {
    connection_id: request.connectionId,
  });
  annotate({ connection_id: connectionId });
  const found = await onDatabase((db) => requireConnection(db, connectionId, applicationId));
  return { connection: wireConnection(found, clock()) };
}
