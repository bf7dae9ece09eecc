import { Metadata } from '@grpc/grpc-js';
import { expect } from 'chai';
import {
  AcceptConnectionRequest,
  EndConnectionRequest,
  GetConnectionRequest,
  ListConnectionsRequest,
  ProposeConnectionRequest,
  SessionConnectionService,
} from '../../src/gen/sessionimport/v1/session_connection';
import { toBinary, type ConnectionId } from '../../src/model/ids';
import { must } from '../../src/model/must';
import { CertificateAuthority } from '../support/certificates';
import { endings, failureOf, type TestClient } from '../support/client';
import { termsWith, wireSides } from '../support/connection-calls';
import { createSession, createTenant, type Tenant } from '../support/fixtures';
import { select } from '../support/rows';
import { startHarness, type Harness } from '../support/service';
import { serverNames, tlsClient } from '../support/tls';

const gatewayName = 'URI:spiffe://bank.example/gateway';
const calls = SessionConnectionService;

describe('a gateway, where connections are required', () => {
  let authority: CertificateAuthority;
  let harness: Harness;
  let gateway: TestClient;
  before(async () => {
    authority = await CertificateAuthority.create();
    const server = await authority.issue('server', [...serverNames]);
    harness = await startHarness({
      environment: {
        REQUIRE_CONNECTIONS: 'true',
        GRPC_TLS_CERT: server.certificate,
        GRPC_TLS_KEY: server.privateKey,
        GRPC_TLS_CLIENT_CA: authority.file,
        TRUSTED_GATEWAYS: gatewayName,
      },
    });
    const value = gatewayName.slice('URI:'.length);
    const identity = await authority.issue('gateway', [{ type: 'url', value }]);
    gateway = tlsClient(harness.server.port, authority, identity);
  });
  after(async () => {
    gateway.close();
    await harness.stop();
    await authority.remove();
  });

  const as = ({ applicationId }: Tenant): Metadata => {
    const metadata = new Metadata();
    metadata.set('x-application-id', applicationId);
    return metadata;
  };

  const propose = async (by: Tenant, to: Tenant, agreement: string): Promise<string> => {
    const request = ProposeConnectionRequest.fromPartial({
      ...{ otherApplicationId: to.applicationId, ownSide: wireSides.source },
      terms: termsWith({ agreement }),
    });
    const { connection } = await gateway.call(calls.proposeConnection, as(by), request);
    return must(connection, 'the proposal').connectionId;
  };

  const accept = (by: Tenant, connectionId: string) =>
    gateway.call(
      calls.acceptConnection,
      as(by),
      AcceptConnectionRequest.fromPartial({ connectionId }),
    );

  const end = (by: Tenant, connectionId: string) =>
    gateway.call(calls.endConnection, as(by), EndConnectionRequest.fromPartial({ connectionId }));

  const get = (by: Tenant, connectionId: string) =>
    gateway.call(calls.getConnection, as(by), GetConnectionRequest.fromPartial({ connectionId }));

  const list = (by: Tenant, request: Partial<ListConnectionsRequest> = {}) =>
    gateway.call(calls.listConnections, as(by), ListConnectionsRequest.fromPartial(request));

  it('can do for each application what that application can do, and is on record', async () => {
    const { db, source, target, signer } = harness;
    const third = await createTenant(db);
    const id = await propose(source, target, 'a');
    expect(await endings([accept(source, id)])).to.deep.equal(['CONNECTION_OWN_PROPOSAL']);
    const notIts = 'CONNECTION_NOT_FOUND';
    expect(await endings([accept(third, id), end(third, id), get(third, id)])).to.deep.equal([
      ...[notIts, notIts, notIts],
    ]);
    expect((await list(third)).connections).to.deep.equal([]);

    const original = await createSession(db, source, 'user');
    const importing = async (by: Tenant) =>
      gateway.send(as(by), {
        shareToken: await signer.share(source, by, 'user', original),
        workflowId: by.workflows.user,
      });
    const refused = 'CONNECTION_NOT_ACTIVE';
    expect(await endings([importing(target), importing(third)])).to.deep.equal([refused, refused]);
    await accept(target, id);
    expect(await endings([importing(third), importing(target)])).to.deep.equal([refused, 'OK']);
    await end(target, id);
    const [row] = await select(
      `SELECT proposed_by_gateway AS proposed, accepted_by_gateway AS accepted, ended_by_gateway AS ended
       FROM session_connections WHERE id = ?`,
      [toBinary(id as ConnectionId)],
    );
    const [proposed, accepted, ended] = [gatewayName, gatewayName, gatewayName];
    expect(row).to.deep.equal({ proposed, accepted, ended });
  });

  it('can not continue the list of one application as another one', async () => {
    const { db } = harness;
    const [one, other] = [await createTenant(db), await createTenant(db)];
    await propose(one, other, 'a');
    await end(one, await propose(one, other, 'b'));
    const { nextPageToken: pageToken } = await list(one, { pageSize: 1 });
    expect(pageToken).not.to.equal('');
    const failure = await failureOf(list(other, { pageSize: 1, pageToken }));
    expect(failure.badRequest?.fieldViolations.map(({ field }) => field)).to.deep.equal([
      'page_token',
    ]);
  });

  it('and API keys share the limit of their application', async () => {
    const { db, source } = harness;
    const other = await createTenant(db);
    for (let made = 1; made <= 20; made++) await propose(source, other, `a/${made}`);
    const request = ProposeConnectionRequest.fromPartial({
      ...{ otherApplicationId: other.applicationId, ownSide: wireSides.source },
      terms: termsWith({ agreement: 'b' }),
    });
    const byKey = gateway.call(calls.proposeConnection, source.apiKey, request);
    expect(await endings([byKey])).to.deep.equal(['TOO_MANY_PROPOSALS']);
  });
});
