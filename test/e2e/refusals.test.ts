import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { createApiKey } from '../../src/store/accounts';
import { fromBinary, newId, toBinary } from '../../src/model/ids';
import type { SessionStatus } from '../../src/model/session';
import { generateSigningKey, signShareToken } from '../../src/token/signing';
import { endings, failureOf } from '../support/client';
import { createSession, createTenant, type Tenant } from '../support/fixtures';
import { refusalsOf, refusedCalls } from '../support/refused';
import { select, type Row } from '../support/rows';
import { startHarness, type Harness } from '../support/service';

/** Whether some text or bytes are among the values of a row. */
function holds(row: Row, secret: string): boolean {
  return Object.values(row).some((value) =>
    Buffer.isBuffer(value) ? value.includes(secret) : String(value).includes(secret),
  );
}

const idIn = (bytes: unknown) => (Buffer.isBuffer(bytes) ? fromBinary(bytes) : bytes);

describe('a refused import', () => {
  let harness: Harness;
  let target: Tenant;
  let ahead = 0;
  before(async () => {
    harness = await startHarness({ clock: () => new Date(Date.now() + ahead) });
  });
  beforeEach(async () => {
    target = await createTenant(harness.db);
  });
  afterEach(() => {
    ahead = 0;
  });
  after(() => harness.stop());

  async function offer(status: SessionStatus = 'Approved') {
    const { db, source, signer } = harness;
    const original = await createSession(db, source, 'user', { status });
    const shareToken = await signer.share(source, target, 'user', original);
    return { original, request: { shareToken, workflowId: target.workflows.user } };
  }

  /** Makes a call that is to be refused, and returns the one refusal that is recorded. */
  async function refusalOf(reason: string, request: object, apiKey = target.apiKey): Promise<Row> {
    const before = await refusalsOf(target);
    expect((await failureOf(harness.client.import(apiKey, request))).reason).to.equal(reason);
    const refusals = await refusalsOf(target);
    expect(refusals).to.have.length(before.length + 1);
    const refusal = refusals.at(-1) ?? {};
    expect(refusal['reason']).to.equal(reason);
    return refusal;
  }

  /** What is recorded of a token: nothing, or what it says. */
  async function expectToken(refusal: Row, token: string | undefined): Promise<void> {
    const [payload, trace] = token === undefined ? [undefined, null] : [payloadOf(token), token];
    expect(refusal['session_kind']).to.equal(payload?.['session_kind'] ?? null);
    expect(idIn(refusal['source_session_id'])).to.equal(payload?.['session_id'] ?? null);
    expect(idIn(refusal['source_application_id'])).to.equal(
      payload?.['from_application_id'] ?? null,
    );
    expect(refusal['token_id']).to.equal(payload?.['jti'] ?? null);
    expect(refusal['token_key_id']).to.equal(trace && harness.signer.privateJwk.kid);
    const [digest] = await select(
      "SELECT UNHEX(SHA2(SUBSTRING_INDEX(?, '.', 2), 256)) AS expected",
      [token ?? ''],
    );
    expect(refusal['token_digest']).to.deep.equal(trace && digest?.['expected']);
  }

  it('is none while nobody can tell whether the key of its token is good', async () => {
    let away = false;
    const remote = createServer((_request, response) => {
      response.writeHead(away ? 503 : 200).end(readFileSync(harness.signer.jwks));
    }).listen(0, '127.0.0.1');
    await once(remote, 'listening');
    const { port } = remote.address() as AddressInfo;
    const { signer } = harness;
    const service = await startHarness({
      environment: { SHARE_TOKEN_JWKS: `http://127.0.0.1:${port}/` },
      signer,
    });
    away = true;
    const { request } = await offer();
    const { privateJwk } = await generateSigningKey({
      algorithm: 'EdDSA',
      kid: undefined,
      applicationId: undefined,
    });
    const shareToken = await signShareToken(privateJwk, {
      sessionId: newId(),
      kind: 'user',
      fromApplicationId: harness.source.applicationId,
      forApplicationId: target.applicationId,
      lifetime: 60,
    });
    const tell = (token: string) =>
      failureOf(service.client.import(target.apiKey, { ...request, shareToken: token }));
    const { code, reason, retry } = await tell(shareToken);
    expect([code, reason]).to.deep.equal(['UNAVAILABLE', 'KEY_SET_UNAVAILABLE']);
    expect(retry?.retryDelay?.seconds).to.equal(2);
    expect(await refusalsOf(target)).to.deep.equal([]);
    // These are not share tokens, whoever signed them. A set from a URL has no secrets.
    const [header, payload, signature] = shareToken.split('.');
    const encode = (value: unknown): string =>
      Buffer.from(JSON.stringify(value)).toString('base64url');
    const hopeless = [
      'x.y',
      `${header}.${encode('no object')}.${signature}`,
      `${header}.${encode({ iat: 1, exp: 2 })}.${signature}`,
      `${encode({ alg: 'HS256', kid: 'x' })}.${payload}.${signature}`,
    ];
    for (const token of hopeless) {
      expect(await tell(token)).to.include({ reason: 'SHARE_TOKEN_INVALID' });
    }
    expect(await endings([service.client.import(target.apiKey, request)])).to.deep.equal(['OK']);
    await service.stop();
    remote.close();
    remote.closeAllConnections();
  });

  it('for a missing privilege is recorded with its key', async () => {
    const { id, apiKey } = await createApiKey(harness.db, {
      applicationId: target.applicationId,
      name: 'powerless',
      privileges: [],
      expiresAt: null,
    });
    const { request } = await offer();
    const refusal = await refusalOf('PRIVILEGE_MISSING', request, apiKey);
    expect(idIn(refusal['api_key_id'])).to.equal(id);
    expect(refusal['gateway']).to.equal(null);
    await expectToken(refusal, undefined);
  });

  it('for its form is recorded, without anything of the request', async () => {
    await expectToken(await refusalOf('INVALID_REQUEST', { workflowId: 'mine' }), undefined);
  });

  it('for a request id that is taken is recorded', async () => {
    const [first, second] = [await offer(), await offer()];
    const requestId = newId();
    await harness.client.import(target.apiKey, { ...first.request, requestId });
    await expectToken(
      await refusalOf('REQUEST_ID_REUSED', { ...second.request, requestId }),
      undefined,
    );
  });

  it('for a forged token is recorded, without anything that the token says', async () => {
    const { original, request } = await offer();
    const forger = await generateSigningKey({
      algorithm: 'EdDSA',
      kid: harness.signer.privateJwk.kid,
      applicationId: undefined,
    });
    const shareToken = await signShareToken(forger.privateJwk, {
      sessionId: original,
      kind: 'user',
      fromApplicationId: harness.source.applicationId,
      forApplicationId: target.applicationId,
      lifetime: 60,
    });
    const refusal = await refusalOf('SHARE_TOKEN_INVALID', { ...request, shareToken });
    await expectToken(refusal, undefined);
  });

  it('for a token that has expired is recorded, with what the token says', async () => {
    const { request } = await offer();
    ahead = 3_600_000;
    await expectToken(await refusalOf('SHARE_TOKEN_EXPIRED', request), request.shareToken);
  });

  it('for a token of another application is recorded for the caller, and not for the other', async () => {
    const { db, source, signer } = harness;
    const other = await createTenant(db);
    const original = await createSession(db, source, 'user');
    const shareToken = await signer.share(source, other, 'user', original);
    const request = { shareToken, workflowId: target.workflows.user };
    await expectToken(await refusalOf('SHARE_TOKEN_NOT_FOR_APPLICATION', request), shareToken);
    expect(await refusalsOf(other)).to.deep.equal([]);
  });

  it('for an import that was made before is recorded', async () => {
    const { request } = await offer();
    await harness.client.import(target.apiKey, request);
    expect(await refusalsOf(target)).to.deep.equal([]);
    await expectToken(await refusalOf('SESSION_ALREADY_IMPORTED', request), request.shareToken);
  });

  it('for the source session is recorded', async () => {
    const unfinished = await offer('In Progress');
    await expectToken(
      await refusalOf('SOURCE_SESSION_NOT_FINISHED', unfinished.request),
      unfinished.request.shareToken,
    );
    const gone = await offer();
    await harness
      .db('user_sessions')
      .where({ id: toBinary(gone.original) })
      .delete();
    await expectToken(
      await refusalOf('SOURCE_SESSION_NOT_FOUND', gone.request),
      gone.request.shareToken,
    );
  });

  it('for its workflow is recorded', async () => {
    const { request } = await offer();
    const unknown = { ...request, workflowId: newId() };
    await expectToken(await refusalOf('WORKFLOW_NOT_FOUND', unknown), request.shareToken);
    const wrong = { ...request, workflowId: target.workflows.business };
    await expectToken(await refusalOf('WORKFLOW_KIND_MISMATCH', wrong), request.shareToken);
  });

  it('leaves nothing secret or personal in its record', async () => {
    const { request } = await offer('Declined');
    const vendorData = 'Ana María Núñez';
    await failureOf(
      harness.client.import(target.apiKey, { ...request, vendorData, workflowId: newId() }),
    );
    await failureOf(harness.client.import(target.apiKey, { ...request, workflowId: vendorData }));
    const refusals = await refusalsOf(target);
    expect(refusals).to.have.length(2);
    const secrets = [target.apiKey, vendorData, 'María', ...request.shareToken.split('.')];
    for (const refusal of refusals) {
      expect(secrets.filter((secret) => holds(refusal, secret))).to.deep.equal([]);
    }
  });

  it('that was only to be validated is recorded as such, whatever is wrong', async () => {
    const { atTheDoor, inTheGroup } = await refusedCalls({ ...harness, target });
    const recorded = await refusalsOf(target);
    const refused = [...atTheDoor, ...inTheGroup].filter(
      ({ reason }) => reason !== 'API_KEY_INVALID',
    );
    for (const { reason, apiKey, request } of refused) {
      const preview = await refusalOf(reason, { ...request, validateOnly: true }, apiKey);
      const attempt = await refusalOf(reason, request, apiKey);
      expect([preview['preview'], attempt['preview']]).to.deep.equal([1, 0]);
      const same = { preview: null, id: null, created_at: null };
      expect({ ...preview, ...same }).to.deep.equal({ ...attempt, ...same });
    }
    expect(await refusalsOf(target)).to.have.length(recorded.length + 2 * refused.length);
  });

  it('is not recorded for a preview that succeeds', async () => {
    const { request } = await offer();
    await harness.client.import(target.apiKey, { ...request, validateOnly: true });
    expect(await refusalsOf(target)).to.deep.equal([]);
  });

  it('is recorded when its caller is told, also of 200 at once', async () => {
    const { request } = await offer('Abandoned');
    const calls = Array.from({ length: 200 }, () => harness.client.import(target.apiKey, request));
    expect(new Set(await endings(calls))).to.deep.equal(new Set(['SOURCE_SESSION_NOT_FINISHED']));
    expect(await refusalsOf(target)).to.have.length(200);
  });
});

describe('a call to import that nothing was decided about is not recorded', () => {
  it('if nobody knows who called', async () => {
    const harness = await startHarness();
    const all = () => select('SELECT COUNT(*) AS refusals FROM import_refusals');
    const before = await all();
    expect(await endings([harness.client.import('sik_unknown', {})])).to.deep.equal([
      'API_KEY_INVALID',
    ]);
    expect(await all()).to.deep.equal(before);
    await harness.stop();
  });

  it('if it comes too often', async () => {
    const harness = await startHarness({
      environment: { RATE_LIMIT: '1', RATE_LIMIT_BURST: '1' },
    });
    const { client, target } = harness;
    const calls = [client.import(target.apiKey, {}), client.import(target.apiKey, {})];
    expect(new Set(await endings(calls))).to.deep.equal(
      new Set(['INVALID_REQUEST', 'RATE_LIMITED']),
    );
    const reasons = (await refusalsOf(target)).map(({ reason }) => reason);
    expect(reasons).to.deep.equal(['INVALID_REQUEST']);
    await harness.stop();
  });
});

function payloadOf(token: string): Record<string, unknown> {
  const [, payload = ''] = token.split('.');
  return JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>;
}
