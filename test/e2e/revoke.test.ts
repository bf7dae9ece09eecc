import { expect } from 'chai';
import { SignJWT, importJWK } from 'jose';
import { createApiKey } from '../../src/store/accounts';
import { newId, toBinary, toId, type ShareTokenId } from '../../src/model/ids';
import {
  ListShareTokensRequest,
  SessionShareService,
  ShareSessionRequest,
  type RevokeShareTokenRequest,
  type RevokeShareTokenResponse,
  type ShareToken,
} from '../../src/gen/sessionimport/v1/session_share';
import {
  ImportDirection,
  ListImportsRequest,
  SessionTraceService,
} from '../../src/gen/sessionimport/v1/session_trace';
import { sessionKinds } from '../../src/model/session';
import { signShareToken } from '../../src/token/signing';
import { failureOf, sessionOf } from '../support/client';
import { addShareTokens, createSession, createTenant, type Tenant } from '../support/fixtures';
import { rowLockWaits, select } from '../support/rows';
import { startHarness, startProxiedHarness, type Harness } from '../support/service';

const { shareSession, revokeShareToken, listShareTokens } = SessionShareService;
const { listImports, getProvenance } = SessionTraceService;

interface Shared {
  readonly token: string;
  readonly id: string;
}

describe('RevokeShareToken', () => {
  let harness: Harness;
  before(async () => {
    harness = await startHarness();
  });
  after(() => harness.stop());

  const share = async (sessionId: string, to: Tenant = harness.target): Promise<Shared> => {
    const request = ShareSessionRequest.fromPartial({
      sessionId,
      forApplicationId: to.applicationId,
    });
    const { client, source } = harness;
    const { shareToken, details } = await client.call(shareSession, source.apiKey, request);
    return { token: shareToken, id: details?.shareTokenId ?? '' };
  };

  const revoke = (
    target: RevokeShareTokenRequest['target'],
    apiKey = harness.source.apiKey,
  ): Promise<RevokeShareTokenResponse> => harness.client.call(revokeShareToken, apiKey, { target });

  const revokeOne = (value: string) => revoke({ $case: 'shareTokenId', value });
  const revokeAll = (value: string, apiKey?: string) =>
    revoke({ $case: 'sessionId', value }, apiKey);

  const importBy = (shareToken: string, more: object = {}, to: Tenant = harness.target) =>
    harness.client.import(to.apiKey, { shareToken, workflowId: to.workflows.user, ...more });

  const listed = async (sessionId: string): Promise<readonly ShareToken[]> => {
    const request = ListShareTokensRequest.fromPartial({ sessionId });
    return (await harness.client.call(listShareTokens, harness.source.apiKey, request)).shareTokens;
  };

  it('takes one token back, and leaves the others', async () => {
    const { db, source } = harness;
    const sessionId = await createSession(db, source, 'user');
    const [first, second] = [await share(sessionId), await share(sessionId)];
    expect(await revokeOne(first.id)).to.deep.equal({ revoked: 1, redeemed: 0 });

    const refused = {
      code: 'PERMISSION_DENIED',
      reason: 'SHARE_TOKEN_REVOKED',
      metadata: { share_token_id: first.id },
    };
    expect(await failureOf(importBy(first.token))).to.deep.include(refused);
    expect(await failureOf(importBy(first.token, { validateOnly: true }))).to.deep.include(refused);
    expect(await failureOf(importBy(first.token, { requestId: newId() }))).to.deep.include(refused);
    const tokens = await listed(sessionId);
    expect(tokens.map((token) => token.revokedAt !== undefined)).to.deep.equal([false, true]);
    expect(sessionOf(await importBy(second.token)).sharedFromSession).to.equal(sessionId);
  });

  for (const kind of sessionKinds) {
    it(`takes all tokens of a ${kind} session back, and of no other`, async () => {
      const { db, source, target } = harness;
      const third = await createTenant(db);
      const sessionId = await createSession(db, source, kind);
      const tokens = [
        await share(sessionId),
        await share(sessionId),
        await share(sessionId, third),
      ];
      const spared = await share(await createSession(db, source, 'user'));
      expect(await revokeAll(sessionId)).to.deep.equal({ revoked: 3, redeemed: 0 });
      for (const [index, tenant] of [target, target, third].entries()) {
        const workflowId = tenant.workflows[kind];
        const call = importBy(tokens[index]?.token ?? '', { workflowId }, tenant);
        expect((await failureOf(call)).reason).to.equal('SHARE_TOKEN_REVOKED');
      }
      expect(await importBy(spared.token)).to.have.property('session');
    });
  }

  it('holds for each of several imports of one session by its own token', async () => {
    const { db, source, target } = harness;
    const sessionId = await createSession(db, source, 'user');
    const tenants = [target, ...(await Promise.all([1, 2, 3].map(() => createTenant(db))))];
    const tokens: Shared[] = [];
    for (const tenant of tenants) tokens.push(await share(sessionId, tenant));
    for (const index of [0, 2]) await revokeOne(tokens[index]?.id ?? '');
    const endings = await Promise.all(
      tenants.map((tenant, index) =>
        importBy(tokens[index]?.token ?? '', {}, tenant).then(
          () => 'imported',
          async (error: unknown) => (await failureOf(Promise.reject(error as Error))).reason,
        ),
      ),
    );
    expect(endings).to.deep.equal([
      'SHARE_TOKEN_REVOKED',
      'imported',
      'SHARE_TOKEN_REVOKED',
      'imported',
    ]);
  });

  it('does no harm when it is asked for again, and counts what was new', async () => {
    const { db, source } = harness;
    const sessionId = await createSession(db, source, 'user');
    const { id } = await share(sessionId);
    await revokeOne(id);
    const [{ revokedAt } = { revokedAt: undefined }] = await listed(sessionId);
    await share(sessionId);
    expect(await revokeOne(id)).to.deep.equal({ revoked: 0, redeemed: 0 });
    expect(await revokeAll(sessionId)).to.deep.equal({ revoked: 1, redeemed: 0 });
    expect(await revokeAll(sessionId)).to.deep.equal({ revoked: 0, redeemed: 0 });
    expect((await listed(sessionId)).at(-1)?.revokedAt).to.deep.equal(revokedAt);
  });

  it('takes expired tokens back as well, and does not count them', async () => {
    let ahead = 0;
    const later = await startHarness({ clock: () => new Date(Date.now() + ahead) });
    const { db, source, target, client } = later;
    const sessionId = await createSession(db, source, 'user');
    const forApplicationId = target.applicationId;
    for (const seconds of [60, 120]) {
      const request = ShareSessionRequest.fromPartial({
        sessionId,
        forApplicationId,
        ttl: { seconds, nanos: 0 },
      });
      await client.call(shareSession, source.apiKey, request);
    }
    ahead = 90_000;
    const request = { target: { $case: 'sessionId', value: sessionId } } as const;
    expect(await client.call(revokeShareToken, source.apiKey, request)).to.deep.equal({
      revoked: 1,
      redeemed: 0,
    });
    const { shareTokens } = await client.call(
      listShareTokens,
      source.apiKey,
      ListShareTokensRequest.fromPartial({ sessionId }),
    );
    expect(shareTokens.map(({ revokedAt }) => revokedAt !== undefined)).to.deep.equal([true, true]);
    await later.stop();
  });

  it('takes thousands of tokens back, some at a time', async () => {
    const { db, source, target } = harness;
    const sessionId = await createSession(db, source, 'user');
    await addShareTokens(db, source, target, sessionId, 2_500);
    const { token } = await share(await createSession(db, source, 'user'));
    expect(await revokeAll(sessionId)).to.deep.equal({ revoked: 2_500, redeemed: 0 });
    const left = 'SELECT id FROM share_tokens WHERE session_id = ? AND revoked_at IS NULL';
    expect(await select(left, [toBinary(sessionId)])).to.deep.equal([]);
    expect(await importBy(token)).to.have.property('session');
  });

  it('waits for nobody who holds the session if there is nothing to take back', async () => {
    const { db, source } = harness;
    const sessionId = await createSession(db, source, 'user');
    await share(sessionId);
    await revokeAll(sessionId);
    await db.transaction(async (writer) => {
      await writer('user_sessions')
        .where({ id: toBinary(sessionId) })
        .forUpdate();
      expect(await revokeAll(sessionId)).to.deep.equal({ revoked: 0, redeemed: 0 });
    });
  });

  it('does not hold the session while it counts', async () => {
    const proxied = await startProxiedHarness();
    const { db, source, target, client, proxy } = proxied;
    const sessionId = await createSession(db, source, 'user');
    await addShareTokens(db, source, target, sessionId, 1);
    const { came, letGo } = proxy.holdBack('AS redeemed FROM');
    const request = { target: { $case: 'sessionId', value: sessionId } } as const;
    const revoking = client.call(revokeShareToken, source.apiKey, request);
    await came;
    await db.raw('SELECT id FROM user_sessions WHERE id = ? FOR UPDATE NOWAIT', [
      toBinary(sessionId),
    ]);
    letGo();
    expect(await revoking).to.deep.equal({ revoked: 1, redeemed: 0 });
    await proxied.stop();
  });

  it('leaves a copy that was made before, says that there is one, and an import again is told so', async () => {
    const { db, source } = harness;
    const sessionId = await createSession(db, source, 'user');
    const { id, token } = await share(sessionId);
    const requestId = newId();
    const answer = await importBy(token, { requestId });
    expect(await revokeOne(id)).to.deep.equal({ revoked: 1, redeemed: 1 });
    expect(await revokeAll(sessionId)).to.deep.equal({ revoked: 0, redeemed: 1 });
    expect(await failureOf(importBy(token))).to.deep.include({
      reason: 'SESSION_ALREADY_IMPORTED',
      metadata: {
        session_id: sessionOf(answer).sessionId,
        shared_from_session: sessionId,
      },
    });
    expect(await importBy(token, { requestId })).to.deep.equal(answer);
  });

  it('writes the same row as an import, so that a cluster lets only one of them commit', async () => {
    const { db, source } = harness;
    const sessionId = await createSession(db, source, 'user');
    const [used, unused] = [await share(sessionId), await share(sessionId)];
    await importBy(used.token, { validateOnly: true });
    const marks = () =>
      select(
        `SELECT LOWER(HEX(t.id)) AS id, IF(t.redeemed_at = i.created_at, 'marked', NULL) AS marked FROM share_tokens t
         LEFT JOIN session_imports i ON i.source_session_id = t.session_id
         WHERE t.session_id = ? ORDER BY t.id`,
        [toBinary(sessionId)],
      );
    const idOf = ({ id }: { id: string }): string => id.replaceAll('-', '');
    expect(await marks()).to.deep.equal([
      { id: idOf(used), marked: null },
      { id: idOf(unused), marked: null },
    ]);
    await importBy(used.token);
    expect(await marks()).to.deep.equal([
      { id: idOf(used), marked: 'marked' },
      { id: idOf(unused), marked: null },
    ]);
  });

  it('waits for an import that has begun', async () => {
    const { db, source } = harness;
    const sessionId = await createSession(db, source, 'user');
    const { id } = await share(sessionId);
    const importing = await db.transaction();
    await importing('user_sessions')
      .where({ id: toBinary(sessionId) })
      .forShare();
    let ended = false;
    const revoking = revokeOne(id).finally(() => {
      ended = true;
    });
    await rowLockWaits();
    expect(ended).to.equal(false);
    await importing.commit();
    expect(await revoking).to.deep.equal({ revoked: 1, redeemed: 0 });
  });

  it('is seen by an import that waited for it', async () => {
    const { db, source } = harness;
    const sessionId = await createSession(db, source, 'user');
    const { id, token } = await share(sessionId);
    const revoking = await db.transaction();
    await revoking('user_sessions')
      .where({ id: toBinary(sessionId) })
      .forUpdate();
    const importing = failureOf(importBy(token));
    await rowLockWaits();
    await revoking('share_tokens')
      .where({ id: toBinary(toId(id)) })
      .update({ revoked_at: new Date() });
    await revoking.commit();
    expect((await importing).reason).to.equal('SHARE_TOKEN_REVOKED');
  });

  it('records by whom, and works for a session that was deleted since', async () => {
    const { db, source } = harness;
    const sessionId = await createSession(db, source, 'user');
    const { token } = await share(sessionId);
    await db('user_sessions')
      .where({ id: toBinary(sessionId) })
      .delete();
    const { id: apiKeyId, apiKey } = await createApiKey(db, {
      applicationId: source.applicationId,
      name: 'revokes',
      privileges: ['write:session-shares'],
      expiresAt: null,
    });
    expect(await revokeAll(sessionId, apiKey)).to.deep.equal({ revoked: 1, redeemed: 0 });
    const [row] = await select('SELECT * FROM share_tokens WHERE session_id = ?', [
      toBinary(sessionId),
    ]);
    expect(row?.['revoked_by_api_key_id']).to.deep.equal(toBinary(apiKeyId));
    expect((await failureOf(importBy(token))).reason).to.equal('SHARE_TOKEN_REVOKED');
  });

  it('takes nothing back of a session that was never shared, and that is no mistake', async () => {
    const unshared = await createSession(harness.db, harness.source, 'user');
    expect(await revokeAll(unshared)).to.deep.equal({ revoked: 0, redeemed: 0 });
  });

  it('means nothing to tokens that were signed elsewhere, or by another application', async () => {
    const { db, source, target, signer } = harness;
    const thief = await createTenant(db);
    const { id } = await share(await createSession(db, source, 'user'));
    await revokeOne(id);

    const key = await importJWK(signer.privateJwk, 'EdDSA');
    const sign = async (from: Tenant, jti: string | undefined): Promise<string> => {
      const token = new SignJWT({
        session_id: await createSession(db, from, 'user'),
        from_application_id: from.applicationId,
        for_application_id: target.applicationId,
        ...(jti === undefined ? {} : { jti }),
      })
        .setProtectedHeader({ alg: 'EdDSA', kid: signer.privateJwk.kid ?? '' })
        .setIssuedAt()
        .setExpirationTime('5m');
      return token.sign(key);
    };
    for (const jti of [undefined, 'not a UUID', newId()]) {
      expect(await importBy(await sign(source, jti))).to.have.property('session');
    }
    expect(await importBy(await sign(thief, id))).to.have.property('session');
    // The source's own, whatever its case.
    for (const jti of [id, id.toUpperCase()]) {
      const failure = await failureOf(importBy(await sign(source, jti)));
      expect(failure.reason).to.equal('SHARE_TOKEN_REVOKED');
    }
  });

  describe('where another token has the id for its jti,', () => {
    const withoutHyphens = (id: string): string => id.replaceAll('-', '');

    /** A session with a recorded share token, and another token for it with a jti that is made of its id. */
    async function shareAs(spell: (id: string) => string) {
      const { db, source, signer } = harness;
      const to = await createTenant(db);
      const sessionId = await createSession(db, source, 'user');
      const { id } = await share(sessionId, to);
      const jti = spell(id);
      const token = await signShareToken(signer.privateJwk, {
        id: jti as ShareTokenId,
        sessionId,
        kind: 'user',
        fromApplicationId: source.applicationId,
        forApplicationId: to.applicationId,
        lifetime: 600,
      });
      return { to, sessionId, id, jti, token };
    }

    /** The ids of share tokens that the lists of imports show, on both sides. */
    async function idsListed(to: Tenant) {
      const { client, source } = harness;
      const incoming = ListImportsRequest.fromPartial({});
      const outgoing = ListImportsRequest.fromPartial({
        direction: ImportDirection.IMPORT_DIRECTION_OUTGOING,
        otherApplicationId: to.applicationId,
      });
      const [made, theirs] = [
        await client.call(listImports, to.apiKey, incoming),
        await client.call(listImports, source.apiKey, outgoing),
      ].map(({ imports }) => imports.map(({ shareTokenId }) => shareTokenId));
      return { made, theirs };
    }

    async function idsOfProvenance(to: Tenant, sessionId: string) {
      const { steps } = await harness.client.call(getProvenance, to.apiKey, { sessionId });
      return steps.map(({ record }) => record?.shareTokenId);
    }

    for (const [how, spell] of [
      ['in lower case with hyphens', (id: string) => id],
      ['without hyphens', withoutHyphens],
      ['in upper case', (id: string) => id.toUpperCase()],
      ['in upper case without hyphens', (id: string) => withoutHyphens(id).toUpperCase()],
    ] as const) {
      it(`stops that one too, written ${how}, and the refusal is listed with the id`, async () => {
        const { to, id, token } = await shareAs(spell);
        expect(await revokeOne(id)).to.deep.equal({ revoked: 1, redeemed: 0 });
        expect(await failureOf(importBy(token, {}, to))).to.deep.include({
          code: 'PERMISSION_DENIED',
          reason: 'SHARE_TOKEN_REVOKED',
          metadata: { share_token_id: id },
        });
        expect(await idsListed(to)).to.deep.equal({ made: [id], theirs: [] });
      });

      it(`counts an import by that one, written ${how}, which is listed with the id`, async () => {
        const { to, sessionId, id, token } = await shareAs(spell);
        const copy = sessionOf(await importBy(token, {}, to));
        const [recorded] = await listed(sessionId);
        expect(recorded?.redeemedAt).to.deep.equal(copy.createdAt);
        expect(await revokeOne(id)).to.deep.equal({ revoked: 1, redeemed: 1 });
        expect(await idsListed(to)).to.deep.equal({ made: [id], theirs: [id] });
        expect(await idsOfProvenance(to, copy.sessionId)).to.deep.equal([id]);
      });
    }

    for (const [what, spell] of [
      ['a text', () => 'Ticket 7, Zoë'],
      ['a URN of it', (id: string) => `urn:uuid:${id}`],
      ['one in braces', (id: string) => `{${id}}`],
      ['a digit less', (id: string) => id.slice(1)],
      [
        'one with hyphens in other places',
        (id: string) => withoutHyphens(id).replace(/^.{9}/, '$&-'),
      ],
    ] as const) {
      it(`leaves that one alone if it is no UUID but ${what}, which is kept as it is`, async () => {
        const { to, sessionId, id, jti, token } = await shareAs(spell);
        expect(await revokeOne(id)).to.deep.equal({ revoked: 1, redeemed: 0 });
        const copy = sessionOf(await importBy(token, {}, to));
        expect(await idsListed(to)).to.deep.equal({ made: [jti], theirs: [jti] });
        expect(await idsOfProvenance(to, copy.sessionId)).to.deep.equal([jti]);
        const [recorded] = await listed(sessionId);
        expect(recorded?.redeemedAt).to.equal(undefined);
        expect(await revokeOne(id)).to.deep.equal({ revoked: 0, redeemed: 0 });
      });
    }
  });

  it('wants to know what to take back', async () => {
    const failure = await failureOf(revoke(undefined));
    expect(failure.reason).to.equal('INVALID_REQUEST');
    expect(failure.badRequest?.fieldViolations.map(({ field }) => field)).to.deep.equal(['target']);
  });
});
