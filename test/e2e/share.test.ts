import { readFile, writeFile } from 'node:fs/promises';
import { expect } from 'chai';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { createApiKey } from '../../src/store/accounts';
import { must } from '../../src/model/must';
import { newId, toBinary, toId, type SessionId } from '../../src/model/ids';
import { SessionKind as WireKind } from '../../src/gen/sessionimport/v1/session_import';
import {
  ListShareTokensRequest,
  SessionShareService,
  ShareSessionRequest,
  type ListShareTokensResponse,
  type ShareToken,
} from '../../src/gen/sessionimport/v1/session_share';
import { sessionKinds, type SessionStatus } from '../../src/model/session';
import { generateSigningKey } from '../../src/token/signing';
import { endings, failureOf, sessionOf } from '../support/client';
import { withShortIntervals } from '../support/clock';
import { createCompany } from '../support/companies';
import { addShareTokens, createSession, createTenant, type Tenant } from '../support/fixtures';
import { eventually, replaceFile } from '../support/helpers';
import { countingSteps, select, underWay } from '../support/rows';
import { startHarness, type Harness } from '../support/service';

const { shareSession, listShareTokens, revokeShareToken } = SessionShareService;

describe('ShareSession', () => {
  let harness: Harness;
  before(async () => {
    harness = await startHarness();
  });
  after(() => harness.stop());

  const share = (request: Partial<ShareSessionRequest>, tenant: Tenant = harness.source) =>
    harness.client.call(shareSession, tenant.apiKey, ShareSessionRequest.fromPartial(request));

  for (const kind of sessionKinds) {
    it(`makes a token for a ${kind} session, which imports it`, async () => {
      const { db, source, target, client } = harness;
      const sessionId = await createSession(db, source, kind);
      const { shareToken, details } = await share({
        sessionId,
        forApplicationId: target.applicationId,
      });
      const claims = decodeJwt(shareToken);
      expect(claims).to.include({
        session_id: sessionId,
        session_kind: kind,
        from_application_id: source.applicationId,
        for_application_id: target.applicationId,
        jti: details?.shareTokenId,
      });
      expect(details).to.deep.include({
        sessionId,
        sessionKind: kind === 'user' ? WireKind.SESSION_KIND_USER : WireKind.SESSION_KIND_BUSINESS,
        forApplicationId: target.applicationId,
        createdAt: new Date((claims.iat ?? 0) * 1_000),
        expiresAt: new Date((claims.exp ?? 0) * 1_000),
        redeemedAt: undefined,
        revokedAt: undefined,
      });
      const imported = await client.import(target.apiKey, {
        shareToken,
        workflowId: target.workflows[kind],
      });
      expect(sessionOf(imported).sharedFromSession).to.equal(sessionId);
    });
  }

  it('includes the sessions behind key people where that is asked for, and not otherwise', async () => {
    const { db, source, target, client } = harness;
    const person = await createSession(db, source, 'user');
    const company = await createCompany(db, source, [person]);
    const forApplicationId = target.applicationId;
    const include = { includeLinkedSessions: true };
    const importing = (shareToken: string) =>
      client.import(target.apiKey, {
        shareToken,
        workflowId: target.workflows.business,
        linkedWorkflowId: target.workflows.user,
        ...include,
      });

    const alone = await share({ sessionId: company, forApplicationId });
    expect(alone.details?.includesLinkedSessions).to.equal(false);
    expect((await failureOf(importing(alone.shareToken))).reason).to.equal(
      'LINKED_SESSIONS_NOT_SHARED',
    );
    const together = await share({ sessionId: company, forApplicationId, ...include });
    expect(together.details?.includesLinkedSessions).to.equal(true);
    const { linkedSessions } = await importing(together.shareToken);
    expect(linkedSessions.map(({ session }) => session?.sharedFromSession)).to.deep.equal([person]);
    const { shareTokens } = await client.call(
      listShareTokens,
      source.apiKey,
      ListShareTokensRequest.fromPartial({ sessionId: company }),
    );
    expect(shareTokens.map((each) => each.includesLinkedSessions)).to.deep.equal([true, false]);
    // A person has no key people.
    const { details } = await share({ sessionId: person, forApplicationId, ...include });
    expect(details?.includesLinkedSessions).to.equal(false);
  });

  it('gives a token one hour, or what is asked for, from one minute to a day', async () => {
    const { db, source, target } = harness;
    const sessionId = await createSession(db, source, 'user');
    const forApplicationId = target.applicationId;
    const life = async (request: object): Promise<number> => {
      const { details } = await share({ sessionId, forApplicationId, ...request });
      const milliseconds = Number(details?.expiresAt) - Number(details?.createdAt);
      return milliseconds / 1_000;
    };
    expect(await life({})).to.equal(3_600);
    for (const seconds of [60, 86_400]) {
      expect(await life({ ttl: { seconds, nanos: 0 } })).to.equal(seconds);
    }
    for (const ttl of [
      { seconds: 59, nanos: 0 },
      { seconds: 86_401, nanos: 0 },
      { seconds: 90, nanos: 1 },
      { seconds: 0, nanos: 0 },
      { seconds: -60, nanos: 0 },
    ]) {
      const failure = await failureOf(share({ sessionId, forApplicationId, ttl }));
      expect(failure.reason).to.equal('INVALID_REQUEST');
      expect(failure.badRequest?.fieldViolations.map(({ field }) => field)).to.deep.equal(['ttl']);
    }
  });

  it('records the share, and by whom, and nothing of the token itself', async () => {
    const { db, source, target } = harness;
    const sessionId = await createSession(db, source, 'user');
    const { id, apiKey } = await createApiKey(db, {
      applicationId: source.applicationId,
      name: 'shares',
      privileges: ['write:session-shares'],
      expiresAt: null,
    });
    const { shareToken, details } = await harness.client.call(
      shareSession,
      apiKey,
      ShareSessionRequest.fromPartial({
        sessionId,
        forApplicationId: target.applicationId,
      }),
    );
    expect(details?.sharedBy).to.deep.equal({ $case: 'apiKeyId', value: id });
    const [row] = await select('SELECT * FROM share_tokens WHERE session_id = ?', [
      toBinary(sessionId),
    ]);
    expect(row?.['api_key_id']).to.deep.equal(toBinary(id));
    for (const part of shareToken.split('.')) {
      expect(JSON.stringify(row)).not.to.include(part);
      expect(harness.logLines.join('')).not.to.include(part);
    }
  });

  it('gives no token out before the share is recorded', async () => {
    const { db, source, target } = harness;
    const sessionId = await createSession(db, source, 'user');
    const connection = await db.transaction();
    await connection.raw('LOCK TABLES share_tokens WRITE');
    let ended = false;
    const sharing = share({ sessionId, forApplicationId: target.applicationId }).finally(() => {
      ended = true;
    });
    try {
      // The call has come to the record, and waits there.
      await underWay('INSERT INTO share_tokens%');
      expect(ended).to.equal(false);
    } finally {
      await connection.raw('UNLOCK TABLES');
      await connection.commit();
    }
    const { details } = await sharing;
    const recorded = await select('SELECT id FROM share_tokens WHERE session_id = ?', [
      toBinary(sessionId),
    ]);
    expect(recorded).to.deep.equal([{ id: toBinary(toId(details?.shareTokenId ?? '')) }]);
  });

  it('answers with the first reason of several', async () => {
    const { db, source, client } = harness;
    const unconfigured = await startHarness({ environment: { SHARE_TOKEN_SIGNING_KEY: '' } });
    const reasonOf = async (request: object, caller = client) => {
      const call = caller.call(
        shareSession,
        source.apiKey,
        ShareSessionRequest.fromPartial(request),
      );
      return (await failureOf(call)).reason;
    };
    const unfinished = await createSession(db, source, 'user', { status: 'In Progress' });
    const forApplicationId = newId();
    const nobodys = { sessionId: newId(), forApplicationId };
    expect(await reasonOf({}, unconfigured.client)).to.equal('INVALID_REQUEST');
    expect(await reasonOf(nobodys, unconfigured.client)).to.equal('SHARING_NOT_CONFIGURED');
    expect(await reasonOf(nobodys)).to.equal('SESSION_NOT_FOUND');
    expect(await reasonOf({ sessionId: unfinished, forApplicationId })).to.equal(
      'SESSION_NOT_FINISHED',
    );
    await unconfigured.stop();
  });

  it('names every field that is wrong', async () => {
    const { source } = harness;
    const violations = async (request: Partial<ShareSessionRequest>) => {
      const failure = await failureOf(share(request));
      expect(failure).to.include({ code: 'INVALID_ARGUMENT', reason: 'INVALID_REQUEST' });
      return failure.badRequest?.fieldViolations.map(({ field }) => field);
    };
    expect(await violations({ sessionId: 'x', ttl: { seconds: 1, nanos: 0 } })).to.deep.equal([
      'session_id',
      'for_application_id',
      'ttl',
    ]);
    const forApplicationId = source.applicationId.toUpperCase();
    expect(await violations({ sessionId: newId(), forApplicationId })).to.deep.equal([
      'for_application_id',
    ]);
  });

  it('shares finished sessions only', async () => {
    const { db, source, target } = harness;
    const finished: readonly SessionStatus[] = ['Approved', 'Declined', 'In Review', 'Kyc Expired'];
    const unfinished: readonly SessionStatus[] = [
      'Not Started',
      'In Progress',
      'Awaiting User',
      'Resubmitted',
      'Expired',
      'Abandoned',
    ];
    const forApplicationId = target.applicationId;
    for (const status of finished) {
      const sessionId = await createSession(db, source, 'user', { status });
      expect((await share({ sessionId, forApplicationId })).shareToken).to.match(/^eyJ/);
    }
    for (const status of unfinished) {
      const sessionId = await createSession(db, source, 'user', { status });
      expect(await failureOf(share({ sessionId, forApplicationId }))).to.deep.include({
        code: 'FAILED_PRECONDITION',
        reason: 'SESSION_NOT_FINISHED',
        metadata: { session_id: sessionId, status },
      });
    }
  });

  it('wants a recipient that exists', async () => {
    const { db, source } = harness;
    const sessionId = await createSession(db, source, 'user');
    const forApplicationId = newId();
    const failure = await failureOf(share({ sessionId, forApplicationId }));
    expect(failure).to.include({ code: 'NOT_FOUND', reason: 'RECIPIENT_NOT_FOUND' });
    expect(failure.resource).to.include({
      resourceType: 'session-import/application',
      resourceName: forApplicationId,
    });
  });

  describe('of a session with many tokens', () => {
    const limit = 1_000;
    const shareWith = (sessionId: SessionId) =>
      share({ sessionId, forApplicationId: harness.target.applicationId });

    it('is refused if there are as many as there may be, until one is taken back', async () => {
      const { db, source, target, client } = harness;
      const sessionId = await createSession(db, source, 'user');
      await addShareTokens(db, source, target, sessionId, limit - 1);
      const { details } = await shareWith(sessionId);
      expect(await failureOf(shareWith(sessionId))).to.deep.include({
        code: 'FAILED_PRECONDITION',
        reason: 'TOO_MANY_SHARE_TOKENS',
        metadata: { session_id: sessionId, limit: String(limit) },
      });
      const revoked = { $case: 'shareTokenId', value: details?.shareTokenId ?? '' } as const;
      await client.call(revokeShareToken, source.apiKey, { target: revoked });
      expect(await shareWith(sessionId)).to.have.property('shareToken');
      expect((await failureOf(shareWith(sessionId))).reason).to.equal('TOO_MANY_SHARE_TOKENS');
      // No other session has less room for that.
      const another = await createSession(db, source, 'user');
      expect(await shareWith(another)).to.have.property('shareToken');
    });

    it('counts neither those that have expired nor those that were taken back', async () => {
      const { db, source, target } = harness;
      const sessionId = await createSession(db, source, 'user');
      const past = new Date(Date.now() - 1_000);
      await addShareTokens(db, source, target, sessionId, limit, { expires_at: past });
      await addShareTokens(db, source, target, sessionId, limit, { revoked_at: past });
      await addShareTokens(db, source, target, sessionId, limit - 1);
      expect(await shareWith(sessionId)).to.have.property('shareToken');
    });

    it('exceeds the limit by no more than there are connections, if calls come at the same moment', async () => {
      const { db, source, target } = harness;
      const sessionId = await createSession(db, source, 'user');
      await addShareTokens(db, source, target, sessionId, limit - 1);
      const results = await endings(Array.from({ length: 40 }, () => shareWith(sessionId)));
      expect(new Set(results)).to.deep.equal(new Set(['OK', 'TOO_MANY_SHARE_TOKENS']));
      const [counted] = await select(
        'SELECT COUNT(*) AS recorded FROM share_tokens WHERE session_id = ?',
        [toBinary(sessionId)],
      );
      const made = results.filter((result) => result === 'OK').length;
      expect(Number(counted?.['recorded'])).to.equal(limit - 1 + made);
      expect(made).to.be.within(1, 4);
    });

    it('looks at no more tokens than there may be, however many there were', async () => {
      const { db, source, target } = harness;
      const sessionId = await createSession(db, source, 'user');
      const past = new Date(Date.now() - 1_000);
      await addShareTokens(db, source, target, sessionId, 3 * limit, { expires_at: past });
      await addShareTokens(db, source, target, sessionId, 3 * limit, { revoked_at: past });
      await addShareTokens(db, source, target, sessionId, 10);
      const { rows } = await countingSteps(100, () => shareWith(sessionId));
      expect(rows).to.be.below(100);
    });
  });

  it('is not there in a service without a signing key, which lists all the same', async () => {
    const without = await startHarness({ environment: { SHARE_TOKEN_SIGNING_KEY: '' } });
    const { db, source, target, client } = without;
    const sessionId = await createSession(db, source, 'user');
    const request = ShareSessionRequest.fromPartial({
      sessionId,
      forApplicationId: target.applicationId,
    });
    expect(await failureOf(client.call(shareSession, source.apiKey, request))).to.include({
      code: 'UNIMPLEMENTED',
      reason: 'SHARING_NOT_CONFIGURED',
    });
    const list = ListShareTokensRequest.fromPartial({ sessionId });
    expect(await client.call(listShareTokens, source.apiKey, list)).to.deep.equal({
      shareTokens: [],
      nextPageToken: '',
    });
    await without.stop();
  });
});

describe('ListShareTokens', () => {
  let harness: Harness;
  before(async () => {
    harness = await startHarness();
  });
  after(() => harness.stop());

  const share = async (sessionId: SessionId, to: Tenant): Promise<ShareToken> => {
    const request = ShareSessionRequest.fromPartial({
      sessionId,
      forApplicationId: to.applicationId,
    });
    const { client, source } = harness;
    const { details } = await client.call(shareSession, source.apiKey, request);
    if (!details) throw new Error('the answer says nothing of the token');
    return details;
  };

  const list = (
    request: Partial<ListShareTokensRequest>,
    { apiKey }: Tenant = harness.source,
  ): Promise<ListShareTokensResponse> =>
    harness.client.call(listShareTokens, apiKey, ListShareTokensRequest.fromPartial(request));

  it('shows for whom, when, until when, and which was redeemed', async () => {
    const { db, source, target, client } = harness;
    const sessionId = await createSession(db, source, 'business');
    const other = await createTenant(db);
    const first = await client.call(
      shareSession,
      source.apiKey,
      ShareSessionRequest.fromPartial({
        sessionId,
        forApplicationId: target.applicationId,
      }),
    );
    const second = await share(sessionId, target);
    const third = await share(sessionId, other);
    const before = Date.now();
    await client.import(target.apiKey, {
      shareToken: first.shareToken,
      workflowId: target.workflows.business,
    });

    const { shareTokens, nextPageToken } = await list({ sessionId });
    expect(nextPageToken).to.equal('');
    const redeemedAt = shareTokens[2]?.redeemedAt;
    expect(redeemedAt?.getTime()).to.be.within(before - 1, Date.now() + 1);
    expect(shareTokens).to.deep.equal([third, second, { ...first.details, redeemedAt }]);
  });

  it('shows a token also when an operator has erased who made it', async () => {
    const { db, source, target } = harness;
    const sessionId = await createSession(db, source, 'user');
    const { shareTokenId } = await share(sessionId, target);
    await db('share_tokens')
      .where({ id: toBinary(toId(shareTokenId)) })
      .update({ api_key_id: null });
    const { shareTokens } = await list({ sessionId });
    expect(shareTokens.map((token) => token.shareTokenId)).to.deep.equal([shareTokenId]);
    expect(shareTokens[0]?.sharedBy).to.equal(undefined);
  });

  it('gives pages, each token once', async () => {
    const { db, source, target } = harness;
    const sessionId = await createSession(db, source, 'user');
    const shared: string[] = [];
    for (let count = 0; count < 7; count++) {
      shared.unshift((await share(sessionId, target)).shareTokenId);
    }
    const listed: string[] = [];
    let pageToken = '';
    let pages = 0;
    do {
      const page = await list({ sessionId, pageSize: 3, pageToken });
      listed.push(...page.shareTokens.map(({ shareTokenId }) => shareTokenId));
      pageToken = page.nextPageToken;
      pages++;
    } while (pageToken !== '');
    expect(listed).to.deep.equal(shared);
    expect(pages).to.equal(3);
  });

  it('takes page tokens of its own only, for the same session and application', async () => {
    const { db, source, target } = harness;
    const sessionId = await createSession(db, source, 'user');
    await share(sessionId, target);
    await share(sessionId, target);
    const { nextPageToken: pageToken } = await list({ sessionId, pageSize: 1 });
    const another = await createSession(db, source, 'user');
    const wrong: [string, Partial<ListShareTokensRequest>, Tenant][] = [
      ['page_token', { sessionId: another, pageToken }, source],
      ['page_token', { sessionId, pageToken }, target],
      ['page_token', { sessionId, pageToken: 'nonsense' }, source],
      ['page_token', { sessionId, pageToken: `${pageToken}A` }, source],
      ['page_size', { sessionId, pageSize: -1 }, source],
    ];
    for (const [field, request, tenant] of wrong) {
      const failure = await failureOf(list(request, tenant));
      expect(failure.reason).to.equal('INVALID_REQUEST');
      expect(failure.badRequest?.fieldViolations.map((each) => each.field)).to.deep.equal([field]);
    }
  });

  it('shows what was shared of a session that was deleted', async () => {
    const { db, source, target } = harness;
    const sessionId = await createSession(db, source, 'user');
    const token = await share(sessionId, target);
    await db('user_sessions')
      .where({ id: toBinary(toId(sessionId)) })
      .delete();
    expect((await list({ sessionId })).shareTokens).to.deep.equal([token]);
  });
});

describe('the key that signs share tokens', () => {
  withShortIntervals();

  /** What tells the kid of the key that a new token is signed with. */
  const kidOfNew = async ({ db, client, source, target }: Harness) => {
    const sessionId = await createSession(db, source, 'user');
    return async (): Promise<string | undefined> => {
      const { shareToken } = await client.call(
        shareSession,
        source.apiKey,
        ShareSessionRequest.fromPartial({
          sessionId,
          forApplicationId: target.applicationId,
        }),
      );
      return decodeProtectedHeader(shareToken).kid;
    };
  };

  it('is rotated without a restart, once its public half is known', async () => {
    const harness = await startHarness();
    const { signer } = harness;
    const kidNow = await kidOfNew(harness);
    const old = signer.privateJwk.kid;
    expect(await kidNow()).to.equal(old);

    const complaints = () => harness.logLines.filter((line) => line.includes('the old one stays'));
    const stranger = await generateSigningKey({
      algorithm: 'ES256',
      kid: undefined,
      applicationId: undefined,
    });
    const bound = await signer.addKey({
      algorithm: 'EdDSA',
      applicationId: harness.source.applicationId,
    });
    const wrong = [JSON.stringify(stranger.privateJwk), JSON.stringify(bound), '{ nonsense'];
    let current = old;
    for (const algorithm of ['ES256', 'HS256', 'EdDSA'] as const) {
      const content = wrong.pop();
      if (content !== undefined) {
        const before = complaints().length;
        await replaceFile(signer.signingKey, content);
        await harness.logged(() => complaints().length > before);
        expect(await kidNow()).to.equal(current);
      }
      const next = await signer.addKey({ algorithm });
      await replaceFile(signer.signingKey, JSON.stringify(next));
      await harness.logged(() =>
        harness.logLines.some(
          (line) => line.includes('has changed') && line.includes(must(next.kid, 'the kid')),
        ),
      );
      expect(await kidNow()).to.equal(next.kid);
      current = next.kid;
    }
    expect(wrong).to.deep.equal([]);
    for (const { d } of [stranger.privateJwk, bound]) {
      expect(harness.logLines.join('')).not.to.include(d);
    }
    await harness.stop();
  });

  it('signs nothing that nobody can verify any more', async () => {
    const harness = await startHarness();
    const { signer } = harness;
    const kidNow = await kidOfNew(harness);
    const keys = JSON.parse(await readFile(signer.jwks, 'utf8')) as { keys: object[] };
    const other = await generateSigningKey({
      algorithm: 'EdDSA',
      kid: undefined,
      applicationId: undefined,
    });
    await replaceFile(signer.jwks, JSON.stringify({ keys: [other.verificationJwk] }));
    await eventually(async () => {
      const ended = await kidNow().then(
        () => 'OK',
        () => 'failed',
      );
      return ended === 'failed';
    });
    const failure = await failureOf(kidNow());
    expect(failure).to.include({ code: 'INTERNAL', reason: 'INTERNAL' });
    await replaceFile(signer.jwks, JSON.stringify(keys));
    await eventually(async () => {
      const kid = await kidNow().catch(() => undefined);
      return kid === signer.privateJwk.kid;
    });
    await harness.stop();
  });

  it('is refused at the start if it is bound, unknown or no key, with a reason', async () => {
    const harness = await startHarness();
    const { signer } = harness;
    const bound = await signer.addKey({
      algorithm: 'EdDSA',
      applicationId: harness.source.applicationId,
    });
    const unknown = await generateSigningKey({
      algorithm: 'EdDSA',
      kid: undefined,
      applicationId: undefined,
    });
    const cases: [file: string, expected: RegExp][] = [
      [JSON.stringify(bound), /bound to one application/],
      [
        JSON.stringify(unknown.privateJwk),
        /do not pass the keys of SHARE_TOKEN_JWKS: no known key/,
      ],
      ['{ "kty": "OKP"', /not JSON/],
      [JSON.stringify(unknown.verificationJwk), /not a private JWK/],
    ];
    for (const [content, expected] of cases) {
      await writeFile(`${signer.signingKey}.bad`, content);
      const start = startHarness({
        environment: {
          SHARE_TOKEN_JWKS: signer.jwks,
          SHARE_TOKEN_SIGNING_KEY: `${signer.signingKey}.bad`,
        },
      });
      const error = await start.then(
        () => undefined,
        (why: unknown) => why as Error,
      );
      expect(error?.message).to.match(/^SHARE_TOKEN_SIGNING_KEY can't be used: /);
      expect(error?.message).to.match(expected);
      expect(error?.message).not.to.include(unknown.privateJwk.d);
    }
    await harness.stop();
  });
});
