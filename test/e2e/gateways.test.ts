import { readFileSync } from 'node:fs';
import { X509Certificate } from 'node:crypto';
import { Metadata } from '@grpc/grpc-js';
import { expect } from 'chai';
import { peerNames } from '../../src/rpc/call/peer-names';
import { newId, toBinary } from '../../src/model/ids';
import {
  ListShareTokensRequest,
  SessionShareService,
  ShareSessionRequest,
} from '../../src/gen/sessionimport/v1/session_share';
import {
  ListImportsRequest,
  SessionTraceService,
} from '../../src/gen/sessionimport/v1/session_trace';
import { CertificateAuthority, type Identity } from '../support/certificates';
import { failureOf, sessionOf, type Failure, type TestClient } from '../support/client';
import { withClockAhead } from '../support/clock';
import { createSession, type Tenant } from '../support/fixtures';
import { select } from '../support/rows';
import { startHarness, type Harness } from '../support/service';
import { serverNames, tlsClient } from '../support/tls';

const byUri = 'URI:spiffe://bank.example/gateway';
const byDns = 'DNS:gateway.bank.example';

describe('a gateway', () => {
  let authority: CertificateAuthority;
  let stranger: CertificateAuthority;
  let harness: Harness;
  const clients: TestClient[] = [];
  before(async () => {
    authority = await CertificateAuthority.create();
    stranger = await CertificateAuthority.create();
    const server = await authority.issue('server', [...serverNames]);
    harness = await startHarness({
      environment: {
        GRPC_TLS_CERT: server.certificate,
        GRPC_TLS_KEY: server.privateKey,
        GRPC_TLS_CLIENT_CA: authority.file,
        // The hardest setting to get right: certificates of strangers get as far as the service.
        GRPC_TLS_CLIENT_AUTH: 'optional',
        TRUSTED_GATEWAYS: `${byUri}, ${byDns}`,
      },
    });
  });
  after(async () => {
    for (const client of clients) client.close();
    await harness.stop();
    await authority.remove();
    await stranger.remove();
  });

  function client(identity?: Identity): TestClient {
    const made = tlsClient(harness.server.port, authority, identity);
    clients.push(made);
    return made;
  }

  /** A client that shows a certificate with the given names. */
  async function named(
    names: Parameters<CertificateAuthority['issue']>[1],
    issuer = authority,
  ): Promise<TestClient> {
    return client(await issuer.issue(newId(), names));
  }

  async function requestOf(target: Tenant) {
    const { db, source, signer } = harness;
    const original = await createSession(db, source, 'user');
    const shareToken = await signer.share(source, target, 'user', original);
    return { shareToken, workflowId: target.workflows.user };
  }

  async function refusal(
    caller: TestClient,
    metadata: Record<string, string>,
    request?: object,
  ): Promise<Failure> {
    const all = new Metadata();
    for (const [key, value] of Object.entries(metadata)) all.set(key, value);
    return failureOf(caller.send(all, request ?? (await requestOf(harness.target))));
  }

  for (const [how, name] of [
    ['a URI', { type: 'url', value: byUri.slice('URI:'.length) }],
    ['a DNS name, in whatever case', { type: 'dns', value: 'Gateway.bank.example' }],
  ] as const) {
    it(`that is listed by ${how} acts for the application it names, and the ledger says so`, async () => {
      const { target, logLines } = harness;
      const gateway = await named([{ type: 'dns', value: 'something.else' }, name]);
      const metadata = new Metadata();
      metadata.set('x-application-id', target.applicationId.toUpperCase());
      const session = sessionOf(await gateway.send(metadata, await requestOf(target)));
      const [entry] = await select(
        'SELECT application_id, api_key_id, gateway FROM session_imports WHERE session_id = ?',
        [toBinary(session.sessionId as never)],
      );
      const identity = name.type === 'url' ? byUri : byDns;
      expect(entry).to.deep.equal({
        application_id: toBinary(target.applicationId),
        api_key_id: null,
        gateway: identity,
      });
      const all = ListImportsRequest.fromPartial({});
      const listed = await gateway.call(SessionTraceService.listImports, target.apiKey, all);
      expect(listed.imports[0]).to.include({
        sessionId: session.sessionId,
        apiKeyId: undefined,
        gateway: identity,
      });
      const line = logLines.find((text) => text.includes(session.sessionId)) ?? '{}';
      expect(JSON.parse(line)).to.include({
        gateway: identity,
        application_id: target.applicationId,
      });
    });
  }

  it('shares, and takes back, for the application it names, and the record says so', async () => {
    const { db, source, target } = harness;
    const gateway = await named([{ type: 'url', value: byUri.slice('URI:'.length) }]);
    const metadata = new Metadata();
    metadata.set('x-application-id', source.applicationId);
    const sessionId = await createSession(db, source, 'user');
    const request = { sessionId, forApplicationId: target.applicationId };
    const { details } = await gateway.call(
      SessionShareService.shareSession,
      metadata,
      ShareSessionRequest.fromPartial(request),
    );
    expect(details?.sharedBy).to.deep.equal({ $case: 'gateway', value: byUri });
    await gateway.call(SessionShareService.revokeShareToken, metadata, {
      target: { $case: 'sessionId', value: sessionId },
    });
    const recorded = await select(
      `SELECT application_id, api_key_id, gateway, revoked_by_api_key_id, revoked_by_gateway
       FROM share_tokens WHERE session_id = ?`,
      [toBinary(sessionId)],
    );
    expect(recorded).to.deep.equal([
      {
        application_id: toBinary(source.applicationId),
        api_key_id: null,
        gateway: byUri,
        revoked_by_api_key_id: null,
        revoked_by_gateway: byUri,
      },
    ]);
    const { shareTokens } = await gateway.call(
      SessionShareService.listShareTokens,
      metadata,
      ListShareTokensRequest.fromPartial({ sessionId }),
    );
    expect(shareTokens[0]?.sharedBy).to.deep.equal({ $case: 'gateway', value: byUri });
  });

  it('still can not redeem a token that is for another application', async () => {
    const { source, target } = harness;
    const gateway = await named([{ type: 'url', value: byUri.slice('URI:'.length) }]);
    const metadata = new Metadata();
    metadata.set('x-application-id', source.applicationId);
    const failure = await failureOf(gateway.send(metadata, await requestOf(target)));
    expect(failure.reason).to.equal('SHARE_TOKEN_NOT_FOR_APPLICATION');
  });

  it('is nobody else: not a client without a certificate, of another name, or of another authority', async () => {
    const header = { 'x-application-id': harness.target.applicationId };
    const uri = byUri.slice('URI:'.length);
    const impostors = [
      client(),
      await named([{ type: 'url', value: `${uri}/of-somebody-else` }]),
      await named([{ type: 'dns', value: uri.slice('spiffe://'.length) }]),
      await named([{ type: 'url', value: uri }], stranger),
      // Printed carelessly, this one name looks like three.
      await named([{ type: 'url', value: `https://a, ${byUri}, https://b` }]),
    ];
    for (const impostor of impostors) {
      expect(await refusal(impostor, header)).to.include({
        code: 'PERMISSION_DENIED',
        reason: 'GATEWAY_NOT_TRUSTED',
      });
    }
  });

  it('is one only as long as its certificate is valid, also on a connection that goes on', async () => {
    const { target } = harness;
    const uri = { type: 'url', value: byUri.slice('URI:'.length) } as const;
    const validFor = 60_000;
    const { certificate, privateKey } = await authority.issue('short', [uri], validFor);
    const gateway = client({ certificate, privateKey });
    const metadata = { 'x-application-id': target.applicationId };
    const header = new Metadata();
    header.set('x-application-id', target.applicationId);
    expect(await gateway.send(header, await requestOf(target))).to.have.property('session');
    const later = () => withClockAhead(validFor, () => refusal(gateway, metadata, {}));
    expect((await later()).reason).to.equal('GATEWAY_NOT_TRUSTED');
  });

  it('is refused when it sends an API key as well, and so is everybody', async () => {
    const { target } = harness;
    const both = { 'x-api-key': target.apiKey, 'x-application-id': target.applicationId };
    const gateway = await named([{ type: 'url', value: byUri.slice('URI:'.length) }]);
    for (const caller of [gateway, client()]) {
      expect(await refusal(caller, both)).to.include({
        code: 'INVALID_ARGUMENT',
        reason: 'CREDENTIALS_AMBIGUOUS',
      });
    }
  });

  it('may call by API key too, like everybody', async () => {
    const { target } = harness;
    const gateway = await named([{ type: 'url', value: byUri.slice('URI:'.length) }]);
    const answer = await gateway.import(target.apiKey, await requestOf(target));
    expect(sessionOf(answer).sharedFromApplication).to.equal(harness.source.applicationId);
    expect((await refusal(gateway, {})).reason).to.equal('API_KEY_INVALID');
  });

  it('must name an application that exists, and only once', async () => {
    const gateway = await named([{ type: 'url', value: byUri.slice('URI:'.length) }]);
    for (const id of [newId(), 'Contoso', '']) {
      expect(await refusal(gateway, { 'x-application-id': id })).to.include({
        code: 'NOT_FOUND',
        reason: 'APPLICATION_NOT_FOUND',
      });
    }
    const twice = new Metadata();
    twice.add('x-application-id', harness.target.applicationId);
    twice.add('x-application-id', harness.source.applicationId);
    const failure = await failureOf(gateway.send(twice, await requestOf(harness.target)));
    expect(failure).to.include({ code: 'INVALID_ARGUMENT', reason: 'CREDENTIALS_AMBIGUOUS' });
  });

  it('is known by whole names: one that only looks like several is none', async () => {
    const { certificate } = await authority.issue('odd', [
      { type: 'url', value: `https://a, ${byDns}` },
      { type: 'url', value: `https://"quoted", ${byUri}` },
      { type: 'email', value: 'gateway@bank.example' },
      { type: 'dns', value: 'API.bank.example' },
      { type: 'url', value: 'spiffe://bank.example/plain' },
    ]);
    const parsed = new X509Certificate(readFileSync(certificate)).toLegacyObject();
    expect(peerNames(parsed)).to.deep.equal([
      'DNS:api.bank.example',
      'URI:spiffe://bank.example/plain',
    ]);
    expect(peerNames(undefined)).to.deep.equal([]);
  });
});
