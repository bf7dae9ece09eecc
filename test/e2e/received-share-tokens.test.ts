import { expect } from 'chai';
import { SessionKind as WireKind } from '../../src/gen/sessionimport/v1/session_import';
import {
  ListReceivedShareTokensRequest,
  ReceivedShareToken,
  RevokeShareTokenRequest,
  SessionShareService,
  ShareSessionRequest,
  type ListReceivedShareTokensResponse,
} from '../../src/gen/sessionimport/v1/session_share';
import { sessionKinds, type SessionKind } from '../../src/model/session';
import { wireKinds } from '../../src/rpc/wire';
import { newId, toBinary, type SessionId } from '../../src/model/ids';
import { createApiKey } from '../../src/store/accounts';
import { failureOf } from '../support/client';
import { createCompany } from '../support/companies';
import { addShareTokens, createSession, createTenant, type Tenant } from '../support/fixtures';
import { startHarness, type Harness } from '../support/service';

const { shareSession, revokeShareToken, listReceivedShareTokens } = SessionShareService;

describe('what is shared with an application', () => {
  /** The service's clock stands still, so that one millisecond more or less is exact. */
  const now = new Date('2026-03-01T12:00:00.000Z');
  let harness: Harness;
  let source: Tenant;
  let target: Tenant;
  before(async () => {
    harness = await startHarness({ clock: () => now });
  });
  beforeEach(async () => {
    source = await createTenant(harness.db);
    target = await createTenant(harness.db);
  });
  after(() => harness.stop());

  const list = (
    apiKey: string,
    request: Partial<ListReceivedShareTokensRequest> = {},
  ): Promise<ListReceivedShareTokensResponse> =>
    harness.client.call(
      listReceivedShareTokens,
      apiKey,
      ListReceivedShareTokensRequest.fromPartial(request),
    );

  const idsOf = ({ shareTokens }: ListReceivedShareTokensResponse): string[] =>
    shareTokens.map(({ shareTokenId }) => shareTokenId);

  const received = async (
    tenant = target,
    request: Partial<ListReceivedShareTokensRequest> = {},
  ): Promise<string[]> => idsOf(await list(tenant.apiKey, request));

  async function share(
    sessionId: SessionId,
    {
      from = source,
      to = target,
      ...request
    }: Partial<ShareSessionRequest> & {
      readonly from?: Tenant;
      readonly to?: Tenant;
    } = {},
  ) {
    const { shareToken, details } = await harness.client.call(
      shareSession,
      from.apiKey,
      ShareSessionRequest.fromPartial({
        sessionId,
        forApplicationId: to.applicationId,
        ...request,
      }),
    );
    return { shareToken, id: details?.shareTokenId ?? '' };
  }

  const session = (kind: SessionKind = 'user', tenant = source) =>
    createSession(harness.db, tenant, kind);

  for (const kind of sessionKinds) {
    it(`is listed with the kind, source and time of a ${kind} session, and nothing else about it`, async () => {
      const { db } = harness;
      const sessionId =
        kind === 'user' ? await session() : await createCompany(db, source, [await session()]);
      const { shareToken, id } = await share(sessionId, {
        ttl: { seconds: 900, nanos: 0 },
        includeLinkedSessions: true,
      });
      const answer = await list(target.apiKey);
      expect(answer).to.deep.equal({
        shareTokens: [
          ReceivedShareToken.fromPartial({
            shareTokenId: id,
            sessionKind: wireKinds[kind],
            sharedFromApplication: source.applicationId,
            createdAt: now,
            expiresAt: new Date(now.getTime() + 900_000),
            includesLinkedSessions: kind === 'business',
          }),
        ],
        nextPageToken: '',
      });
      const text = JSON.stringify(answer);
      for (const secret of [sessionId, shareToken, ...shareToken.split('.')]) {
        expect(text).not.to.include(secret);
      }
    });
  }

  it('is listed until it is imported, revoked or expired', async () => {
    const { db, client } = harness;
    const [imported, revoked, open] = [await session(), await session(), await session()];
    const used = await share(imported);
    // With another token of the same session, there is nothing left to import either.
    await share(imported);
    const back = await share(revoked);
    const usable = await share(open);
    const moments = { created_at: new Date(now.getTime() - 3_600_000) };
    const [gone, last] = await Promise.all(
      [now, new Date(now.getTime() + 1)].map(async (expiry) => {
        const columns = { ...moments, expires_at: expiry };
        const [id] = await addShareTokens(db, source, target, await session(), 1, columns);
        return id;
      }),
    );
    expect(await received()).to.have.length(5);
    await client.import(target.apiKey, {
      shareToken: used.shareToken,
      workflowId: target.workflows.user,
    });
    await client.call(
      revokeShareToken,
      source.apiKey,
      RevokeShareTokenRequest.fromPartial({ target: { $case: 'shareTokenId', value: back.id } }),
    );
    expect(await received()).to.deep.equal([usable.id, last]);
    expect(await received(target, { includeExpired: true })).to.deep.equal([usable.id, last, gone]);
  });

  it('is no longer listed if it came along with a company', async () => {
    const { db, client } = harness;
    const person = await session();
    await share(person);
    const company = await createCompany(db, source, [person]);
    const { shareToken } = await share(company, { includeLinkedSessions: true });
    expect(await received()).to.have.length(2);
    await client.import(target.apiKey, {
      shareToken,
      workflowId: target.workflows.business,
      includeLinkedSessions: true,
      linkedWorkflowId: target.workflows.user,
    });
    expect(await received()).to.deep.equal([]);
  });

  it('is listed to nobody else: neither to the one that shares, nor to a third', async () => {
    const third = await createTenant(harness.db);
    const { id } = await share(await session());
    expect(await received(source)).to.deep.equal([]);
    expect(await received(third)).to.deep.equal([]);
    expect(await received()).to.deep.equal([id]);
    const { apiKey } = await createApiKey(harness.db, {
      applicationId: target.applicationId,
      name: 'imports alone',
      privileges: ['write:sessions'],
      expiresAt: null,
    });
    expect(await failureOf(list(apiKey))).to.deep.include({
      reason: 'PRIVILEGE_MISSING',
      metadata: { privilege: 'read:session-shares' },
    });
  });

  it('can be chosen by kind and by who shares', async () => {
    const other = await createTenant(harness.db);
    const user = await share(await session());
    const business = await share(await session('business'));
    const others = await share(await session('user', other), { from: other });
    const kind = (sessionKind: WireKind) => received(target, { sessionKind });
    expect(await kind(WireKind.SESSION_KIND_BUSINESS)).to.deep.equal([business.id]);
    expect(await kind(WireKind.SESSION_KIND_USER)).to.have.members([user.id, others.id]);
    const sharedFromApplication = other.applicationId;
    expect(await received(target, { sharedFromApplication })).to.deep.equal([others.id]);
    expect(await received(target, { sharedFromApplication: newId() })).to.deep.equal([]);
  });

  it('comes in pages, which neither skip nor repeat tokens that expire together', async () => {
    const sessionId = await session();
    const at = (ms: number) => ({ expires_at: new Date(now.getTime() + ms) });
    const ids = [
      ...(await addShareTokens(harness.db, source, target, sessionId, 7, at(20_000))).toReversed(),
      ...(await addShareTokens(harness.db, source, target, sessionId, 2, at(10_000))).toReversed(),
    ];
    for (const pageSize of [1, 3, 9]) {
      const pages: string[][] = [];
      let pageToken = '';
      do {
        const page = await list(target.apiKey, { pageSize, pageToken });
        pages.push(idsOf(page));
        pageToken = page.nextPageToken;
      } while (pageToken !== '');
      expect(pages.flat()).to.deep.equal(ids);
      expect(pages.map(({ length }) => length)).to.deep.equal(
        Array.from({ length: 9 / pageSize }, () => pageSize),
      );
    }
    const { nextPageToken: pageToken } = await list(target.apiKey, { pageSize: 1 });
    for (const request of [
      { pageToken: `A${pageToken}` },
      { pageToken, includeExpired: true },
      { pageToken, sessionKind: WireKind.SESSION_KIND_USER },
      { pageSize: -1 },
      { sessionKind: WireKind.UNRECOGNIZED },
      { sharedFromApplication: 'x' },
    ]) {
      const failure = await failureOf(list(target.apiKey, request));
      expect(failure, JSON.stringify(request)).to.include({ reason: 'INVALID_REQUEST' });
    }
  });

  it('looks at a bounded number of tokens for a page, and goes on after them', async () => {
    const revoked = { revoked_at: now, expires_at: new Date(now.getTime() + 20_000) };
    await addShareTokens(harness.db, source, target, await session(), 2_100, revoked);
    const usable = { expires_at: new Date(now.getTime() + 10_000) };
    const ids = await addShareTokens(harness.db, source, target, await session(), 1, usable);
    const first = await list(target.apiKey);
    expect(idsOf(first)).to.deep.equal([]);
    const { nextPageToken: pageToken } = first;
    expect(await received(target, { pageToken })).to.deep.equal(ids);
  });

  it('is still listed after the session was deleted', async () => {
    const sessionId = await session();
    const { id } = await share(sessionId);
    await harness
      .db('user_sessions')
      .where({ id: toBinary(sessionId) })
      .delete();
    expect(await received()).to.deep.equal([id]);
  });
});
