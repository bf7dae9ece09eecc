import type { ConnectionTerms } from '../../src/model/connection';
import { toId, type ConnectionId } from '../../src/model/ids';
import { wireTerms } from '../../src/rpc/connection/terms';
import type { TestClient } from './client';
import { Connections } from './connection-calls';
import type { Tenant } from './fixtures';

/** Terms that allow everything. */
export const everything: ConnectionTerms = {
  kinds: ['user', 'business'],
  linkedSessions: true,
  trustReview: true,
  longestTtl: null,
  relations: null,
  groundsRequired: false,
  agreement: null,
  certifiedUntil: null,
};

/** Makes an active connection: the source proposes it, and the recipient accepts it. */
export async function connect(
  client: TestClient,
  source: Tenant,
  recipient: Tenant,
  terms: Partial<ConnectionTerms> = {},
): Promise<ConnectionId> {
  const connections = new Connections(client);
  const wanted = wireTerms({ ...everything, ...terms });
  const { connectionId } = await connections.propose(source, 'source', recipient, wanted);
  await connections.accept(recipient, connectionId);
  return toId(connectionId);
}

/** Ends a connection, on behalf of its source. */
export async function disconnect(
  client: TestClient,
  source: Tenant,
  id: ConnectionId,
): Promise<void> {
  await new Connections(client).end(source, id);
}
