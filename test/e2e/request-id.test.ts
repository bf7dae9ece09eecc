import { Metadata } from '@grpc/grpc-js';
import { expect } from 'chai';
import { v4 as uuid } from 'uuid';
import { createTenant, createSession, addLogs, type Tenant } from '../support/fixtures';
import { toBinary, type SessionId } from '../../src/model/ids';
import type { ImportSessionRequest } from '../../src/gen/sessionimport/v1/session_import';
import { ImportSessionResponse } from '../../src/gen/sessionimport/v1/session_import';
import type { SessionKind } from '../../src/model/session';
import { endings, failureOf, sessionOf } from '../support/client';
import { without } from '../support/helpers';
import { select } from '../support/rows';
import { startHarness, startProxiedHarness, type ProxiedHarness } from '../support/service';

describe('a request with an id', () => {
  let harness: ProxiedHarness;
  /** How far ahead the service's clock is, in milliseconds. */
  let ahead = 0;
  before(async () => {
    harness = await startProxiedHarness({}, () => new Date(Date.now() + ahead));
  });
  after(() => harness.stop());
  afterEach(() => {
    harness.proxy.intercept = undefined;
    ahead = 0;
  });

  async function requestFor(
    kind: SessionKind,
    target: Tenant = harness.target,
  ): Promise<{ original: SessionId; request: Partial<ImportSessionRequest> }> {
    const { db, source, signer } = harness;
    const original = await createSession(db, source, kind);
    await addLogs(db, kind, original, 2);
    const shareToken = await signer.share(source, target, kind, original);
    const workflowId = target.workflows[kind];
    return { original, request: { shareToken, workflowId, vendorData: 'Ana', requestId: uuid() } };
  }

  const bytesOf = (response: ImportSessionResponse): string =>
    Buffer.from(ImportSessionResponse.encode(response).finish()).toString('hex');

  const copiesOf = (kind: SessionKind, original: SessionId) =>
    select(`SELECT id FROM ${kind}_sessions WHERE shared_from_session_id = ?`, [
      toBinary(original),
    ]);

  for (const kind of ['user', 'business'] as const) {
    it(`that comes again gets the same answer, byte for byte (${kind})`, async () => {
      const { client, target } = harness;
      const { original, request } = await requestFor(kind);
      const first = await client.import(target.apiKey, request);
      const again = await client.import(target.apiKey, request);
      expect(bytesOf(again)).to.equal(bytesOf(first));
      expect(sessionOf(first).sessionUrl).to.match(/session\/.{43}$/);
      expect(await copiesOf(kind, original)).to.have.length(1);
    });
  }

  it('gets its answer also when the token has expired, and the copy was changed or deleted', async () => {
    const { client, db, target } = harness;
    const { request } = await requestFor('user');
    const first = await client.import(target.apiKey, request);
    ahead = 48 * 3_600_000;
    const id = toBinary(sessionOf(first).sessionId as SessionId);
    await db('user_sessions').where({ id }).update({ status: 'Declined' });
    expect(bytesOf(await client.import(target.apiKey, request))).to.equal(bytesOf(first));
    await db('user_sessions').where({ id }).delete();
    expect(bytesOf(await client.import(target.apiKey, request))).to.equal(bytesOf(first));
    const nameless = without(request, 'requestId');
    expect((await failureOf(client.import(target.apiKey, nameless))).reason).to.equal(
      'SHARE_TOKEN_EXPIRED',
    );
  });

  it('is carried out once by fifty calls at the same time at two services, and all get one answer', async () => {
    const { client, target, signer } = harness;
    const other = await startHarness({ signer });
    const { original, request } = await requestFor('user');
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        (i % 2 === 0 ? client : other.client).import(target.apiKey, request),
      ),
    );
    expect(new Set(answers.map(bytesOf)).size).to.equal(1);
    expect(await copiesOf('user', original)).to.have.length(1);
    await other.stop();
  });

  it('stands for what it asked: with anything else it is refused, and nothing is written', async () => {
    const { client, target } = harness;
    const { request } = await requestFor('user');
    await client.import(target.apiKey, request);
    const other = await requestFor('user');
    const changed: Partial<ImportSessionRequest>[] = [
      { ...request, trustReview: true },
      { ...request, vendorData: 'Bea' },
      without(request, 'vendorData'),
      { ...request, workflowId: target.workflows.business },
      { ...request, shareToken: other.request.shareToken ?? '' },
    ];
    for (const each of changed) {
      expect(await failureOf(client.import(target.apiKey, each))).to.include({
        code: 'INVALID_ARGUMENT',
        reason: 'REQUEST_ID_REUSED',
      });
    }
    expect(await copiesOf('user', other.original)).to.have.length(0);
  });

  it('shared by two requests at the same time is the one’s that comes first', async () => {
    const { client, target } = harness;
    for (let round = 0; round < 10; round++) {
      const [one, two] = [await requestFor('user'), await requestFor('user')];
      const results = await endings([
        client.import(target.apiKey, one.request),
        client.import(target.apiKey, { ...two.request, requestId: one.request.requestId }),
      ]);
      expect([...results].sort()).to.deep.equal(['OK', 'REQUEST_ID_REUSED']);
      const copies = [
        ...(await copiesOf('user', one.original)),
        ...(await copiesOf('user', two.original)),
      ];
      expect(copies).to.have.length(1);
    }
  });

  it('is its application’s own: another may use the same', async () => {
    const { client, db, target } = harness;
    const { request } = await requestFor('user');
    const mine = sessionOf(await client.import(target.apiKey, request));
    const other = await createTenant(db);
    const theirs = await requestFor('user', other);
    const session = sessionOf(
      await client.import(other.apiKey, { ...theirs.request, requestId: request.requestId }),
    );
    expect(session.sessionId).not.to.equal(mine.sessionId);
  });

  it('that failed may come again, mended or not', async () => {
    const { client, db, target } = harness;
    const { original, request } = await requestFor('user');
    const id = toBinary(original);
    await db('user_sessions').where({ id }).update({ status: 'In Progress' });
    expect((await failureOf(client.import(target.apiKey, request))).reason).to.equal(
      'SOURCE_SESSION_NOT_FINISHED',
    );
    await db('user_sessions').where({ id }).update({ status: 'Approved' });
    const mended = { ...request, trustReview: true };
    expect(sessionOf(await client.import(target.apiKey, mended)).sharedFromSession).to.equal(
      original,
    );
  });

  it('and one without, or with another id, do not get each other’s answers', async () => {
    const { client, target } = harness;
    const { request } = await requestFor('user');
    const made = sessionOf(await client.import(target.apiKey, request));
    for (const each of [without(request, 'requestId'), { ...request, requestId: uuid() }]) {
      const failure = await failureOf(client.import(target.apiKey, each));
      expect(failure.reason).to.equal('SESSION_ALREADY_IMPORTED');
      expect(failure.metadata['session_id']).to.equal(made.sessionId);
    }
  });

  it('still needs a valid key of its application', async () => {
    const { client, source } = harness;
    const { request } = await requestFor('user');
    await client.import(harness.target.apiKey, request);
    const failure = await failureOf(client.send(new Metadata(), request));
    expect(failure.reason).to.equal('API_KEY_INVALID');
    expect((await failureOf(client.import(source.apiKey, request))).reason).to.equal(
      'SHARE_TOKEN_NOT_FOR_APPLICATION',
    );
  });

  it('has it in its log line, as a name of its own, each time it comes', async () => {
    const { client, target, logLines } = harness;
    const { request } = await requestFor('user');
    const lineOf = async (asked: Partial<ImportSessionRequest>) => {
      await client.import(target.apiKey, asked).catch(() => undefined);
      const line = logLines.find((each) => each.includes(client.lastRequestId ?? 'none'));
      return JSON.parse(line ?? '{}') as Record<string, unknown>;
    };
    const first = await lineOf(request);
    const again = await lineOf(request);
    const refused = await lineOf({ ...request, trustReview: true });
    expect([first, again, refused].map(({ code }) => code)).to.deep.equal([
      'OK',
      'OK',
      'INVALID_ARGUMENT',
    ]);
    for (const line of [first, again, refused]) {
      expect(line['idempotency_key']).to.equal(request.requestId);
      expect(line['request_id']).not.to.equal(request.requestId);
    }
    expect(new Set([first, again, refused].map((line) => line['request_id']))).to.have.length(3);
    // What is no id may be anything, so nobody logs it; and there need not be one.
    for (const requestId of ['Ana María Núñez', undefined]) {
      const line = await lineOf({ ...request, requestId });
      expect(line).to.include.keys('method', 'request_id');
      expect(line).not.to.have.property('idempotency_key');
    }
  });
});
