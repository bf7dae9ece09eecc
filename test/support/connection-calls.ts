import {
  AcceptConnectionRequest,
  ConnectionParty,
  ConnectionTerms,
  EndConnectionRequest,
  GetConnectionRequest,
  ListConnectionsRequest,
  ProposeConnectionRequest,
  SessionConnectionService,
  type Connection,
  type ListConnectionsResponse,
} from '../../src/gen/sessionimport/v1/session_connection';
import { SessionKind } from '../../src/gen/sessionimport/v1/session_import';
import type { ConnectionSide } from '../../src/model/connection-record';
import { must } from '../../src/model/must';
import type { TestClient } from './client';
import type { Tenant } from './fixtures';

export const wireSides: Readonly<Record<ConnectionSide, ConnectionParty>> = {
  source: ConnectionParty.CONNECTION_PARTY_SOURCE,
  recipient: ConnectionParty.CONNECTION_PARTY_RECIPIENT,
};

/** Terms, in which a test needs to say only what it is about. */
export function termsWith(some: Partial<ConnectionTerms> = {}): ConnectionTerms {
  return ConnectionTerms.fromPartial({
    sessionKinds: [SessionKind.SESSION_KIND_USER],
    ...some,
  });
}

/** The calls about connections, by applications. */
export class Connections {
  constructor(private readonly client: TestClient) {}

  async propose(
    by: Tenant,
    side: ConnectionSide,
    other: Pick<Tenant, 'applicationId'>,
    terms: ConnectionTerms | undefined = termsWith(),
  ): Promise<Connection> {
    const { connection } = await this.client.call(
      SessionConnectionService.proposeConnection,
      by.apiKey,
      ProposeConnectionRequest.fromPartial({
        otherApplicationId: other.applicationId,
        ownSide: wireSides[side],
        terms,
      }),
    );
    return must(connection, 'the proposal');
  }

  async accept(by: Tenant, connectionId: string): Promise<Connection> {
    const { acceptConnection } = SessionConnectionService;
    const request = AcceptConnectionRequest.fromPartial({ connectionId });
    const { connection } = await this.client.call(acceptConnection, by.apiKey, request);
    return must(connection, 'the connection that was accepted');
  }

  async end(by: Tenant, connectionId: string): Promise<Connection> {
    const { endConnection } = SessionConnectionService;
    const request = EndConnectionRequest.fromPartial({ connectionId });
    const { connection } = await this.client.call(endConnection, by.apiKey, request);
    return must(connection, 'the connection that was ended');
  }

  async get(by: Tenant, connectionId: string): Promise<Connection> {
    const { getConnection } = SessionConnectionService;
    const request = GetConnectionRequest.fromPartial({ connectionId });
    const { connection } = await this.client.call(getConnection, by.apiKey, request);
    return must(connection, 'the connection');
  }

  list(
    by: Tenant,
    request: Partial<ListConnectionsRequest> = {},
  ): Promise<ListConnectionsResponse> {
    return this.client.call(
      SessionConnectionService.listConnections,
      by.apiKey,
      ListConnectionsRequest.fromPartial(request),
    );
  }
}
