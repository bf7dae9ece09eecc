import { expect } from 'chai';
import { SessionStatus } from '../../src/gen/sessionimport/v1/session_import';
import {
  GetSessionRequest,
  ListSessionRowsRequest,
  ListSessionsRequest,
  SessionReadService,
} from '../../src/gen/sessionimport/v1/session_read';
import {
  ListReceivedShareTokensRequest,
  ListShareTokensRequest,
  RevokeShareTokenRequest,
  SessionShareService,
  ShareSessionRequest,
} from '../../src/gen/sessionimport/v1/session_share';
import {
  GetProvenanceRequest,
  ImportDirection,
  ListImportsRequest,
  SessionTraceService,
} from '../../src/gen/sessionimport/v1/session_trace';
import { newId, toBinary, type SessionId } from '../../src/model/ids';
import { sessionKinds, type SessionKind } from '../../src/model/session';
import { failureOf, sessionOf } from '../support/client';
import { createCompany, keyPeopleOf, ledgerOf, requestWithLinked } from '../support/companies';
import { erase, retain } from '../support/erasure';
import {
  addLogs,
  createSession,
  createSessions,
  createTenant,
  type Tenant,
} from '../support/fixtures';
import { select } from '../support/rows';
import { startHarness, type Harness } from '../support/service';

/** What the service says of a session that is not there. */
const gone = { code: 'NOT_FOUND', reason: 'SESSION_NOT_FOUND' };
const noSource = { code: 'NOT_FOUND', reason: 'SOURCE_SESSION_NOT_FOUND' };

describe('EraseSession', () => {
  let harness: Harness;
  before(async () => {
    harness = await startHarness();
  });
  after(() => harness.stop());

  const share = async (sessionId: string): Promise<string> => {
    const { client, source, target } = harness;
    const request = { sessionId, forApplicationId: target.applicationId };
    return (
      await client.call(
        SessionShareService.shareSession,
        source.apiKey,
        ShareSessionRequest.fromPartial(request),
      )
    ).shareToken;
  };

  const importBy = (shareToken: string, kind: SessionKind, more: object = {}) => {
    const { client, target } = harness;
    return client.import(target.apiKey, {
      shareToken,
      workflowId: target.workflows[kind],
      ...more,
    });
  };

  const get = ({ apiKey }: Tenant, sessionId: string) =>
    harness.client.call(
      SessionReadService.getSession,
      apiKey,
      GetSessionRequest.fromPartial({ sessionId }),
    );

  /** The ids of all sessions that a list has, page by page. */
  const listed = async (
    { apiKey }: Tenant,
    filter: Parameters<typeof ListSessionsRequest.fromPartial>[0],
  ): Promise<string[]> => {
    const ids: string[] = [];
    let pageToken = '';
    do {
      const page = await harness.client.call(
        SessionReadService.listSessions,
        apiKey,
        ListSessionsRequest.fromPartial({ ...filter, pageToken }),
      );
      ids.push(...page.sessions.map(({ sessionId }) => sessionId));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    return ids;
  };

  for (const kind of sessionKinds) {
    it(`hides a ${kind} session from every call, and keeps who imported it`, async () => {
      const { client, db, signer, target } = harness;
      const source = await createTenant(db);
      const sessionId = await createSession(db, source, kind, { status: 'Declined' });
      await addLogs(db, kind, sessionId, 2);
      const other = await createSession(db, source, kind);
      const before = { ...harness, source };
      const shared = await client.call(
        SessionShareService.shareSession,
        source.apiKey,
        ShareSessionRequest.fromPartial({ sessionId, forApplicationId: target.applicationId }),
      );
      const signed = await signer.share(source, target, kind, sessionId);
      const third = await createTenant(db);
      const copy = sessionOf(
        await client.import(third.apiKey, {
          shareToken: await signer.share(source, third, kind, sessionId),
          workflowId: third.workflows[kind],
        }),
      );

      const erased = await erase(before, source, sessionId);
      expect(erased).to.deep.include({ linkedSessions: [], moreLinkedSessions: false });

      const { apiKey } = source;
      expect(await failureOf(get(source, sessionId))).to.include(gone);
      for (const call of [
        client.call(
          SessionReadService.listSessionRows,
          apiKey,
          ListSessionRowsRequest.fromPartial({ sessionId, relation: 'logs' }),
        ),
        client.call(
          SessionShareService.shareSession,
          apiKey,
          ShareSessionRequest.fromPartial({ sessionId, forApplicationId: target.applicationId }),
        ),
        retain(before, source, sessionId, undefined),
      ]) {
        expect(await failureOf(call)).to.include(gone);
      }
      expect(await listed(source, {})).to.deep.equal([other]);
      for (const shareToken of [shared.shareToken, signed]) {
        expect(await failureOf(importBy(shareToken, kind))).to.include(noSource);
        const preview = importBy(shareToken, kind, { validateOnly: true });
        expect(await failureOf(preview)).to.include(noSource);
      }
      const received = await client.call(
        SessionShareService.listReceivedShareTokens,
        target.apiKey,
        ListReceivedShareTokensRequest.fromPartial({
          sharedFromApplication: source.applicationId,
          includeExpired: true,
        }),
      );
      expect(received.shareTokens).to.deep.equal([]);

      // What has ids alone goes on.
      const { shareTokens } = await client.call(
        SessionShareService.listShareTokens,
        apiKey,
        ListShareTokensRequest.fromPartial({ sessionId }),
      );
      expect(shareTokens.map((each) => each.shareTokenId)).to.deep.equal([
        shared.details?.shareTokenId,
      ]);
      const target_ = { $case: 'sessionId' as const, value: sessionId };
      const revoked = await client.call(
        SessionShareService.revokeShareToken,
        apiKey,
        RevokeShareTokenRequest.fromPartial({ target: target_ }),
      );
      expect(revoked).to.deep.equal({ revoked: 1, redeemed: 0 });
      const { imports } = await client.call(
        SessionTraceService.listImports,
        apiKey,
        ListImportsRequest.fromPartial({ direction: ImportDirection.IMPORT_DIRECTION_OUTGOING }),
      );
      expect(imports.map((each) => each.sharedFromSession)).to.deep.equal([sessionId]);
      const provenance = (tenant: Tenant, id: string) =>
        client.call(
          SessionTraceService.getProvenance,
          tenant.apiKey,
          GetProvenanceRequest.fromPartial({ sessionId: id }),
        );
      expect(await provenance(source, sessionId)).to.deep.equal({ steps: [], complete: true });
      expect((await provenance(third, copy.sessionId)).steps).to.have.length(1);
      expect((await get(third, copy.sessionId)).session?.session?.sharedFromSession).to.equal(
        sessionId,
      );

      expect(await erase(before, source, sessionId)).to.deep.equal(erased);
      expect(await failureOf(erase(before, third, sessionId))).to.include(gone);
    });

    it(`hides a copy of a ${kind} session, forgets its secret, and does not let it be imported again`, async () => {
      const { client, db, source, target } = harness;
      const original = await createSession(db, source, kind);
      const request = { requestId: newId(), vendorData: `whose ${kind}` };
      const shareToken = await share(original);
      const { sessionId } = sessionOf(await importBy(shareToken, kind, request));

      await erase(harness, target, sessionId);

      expect(await failureOf(get(target, sessionId))).to.include(gone);
      expect(await listed(target, { sharedFromSession: original })).to.deep.equal([]);
      expect(await listed(target, { vendorData: request.vendorData })).to.deep.equal([]);
      const [entry] = await ledgerOf(target, original);
      expect(entry).to.include({ request_id: null, request_digest: null, answer: null });
      for (const again of [request, {}]) {
        const refused = await failureOf(importBy(await share(original), kind, again));
        expect(refused).to.include({ reason: 'SESSION_ALREADY_IMPORTED' });
        expect(refused.metadata['session_id']).to.equal(sessionId);
      }
      // The same bytes.
      expect(await failureOf(importBy(shareToken, kind, request))).to.include({
        reason: 'SESSION_ALREADY_IMPORTED',
      });
      const { steps } = await client.call(
        SessionTraceService.getProvenance,
        target.apiKey,
        GetProvenanceRequest.fromPartial({ sessionId }),
      );
      expect(steps).to.have.length(1);
      expect((await get(source, original)).session?.session?.sessionId).to.equal(original);
    });
  }

  it('names the people of a company, and does not erase them', async () => {
    const { db, source } = harness;
    const [first, second, others] = [
      await createSession(db, source, 'user'),
      await createSession(db, source, 'user'),
      await createSession(db, await createTenant(db), 'user'),
    ];
    const company = await createCompany(db, source, [second, null, first, others, second]);
    const erased = await erase(harness, source, company);
    expect(erased.linkedSessions).to.deep.equal([second, first]);
    expect((await get(source, first)).session?.session?.sessionId).to.equal(first);
    expect(await erase(harness, source, company)).to.deep.equal(erased);
    await erase(harness, source, first);
    expect((await erase(harness, source, company)).linkedSessions).to.deep.equal([second]);
  });

  it('names no more than 500 people, and says so', async () => {
    const { db, source } = harness;
    const people = await createSessions(db, source, 'user', 501);
    const { linkedSessions, moreLinkedSessions } = await erase(
      harness,
      source,
      await createCompany(db, source, people),
    );
    expect(linkedSessions).to.deep.equal(people.slice(0, 500));
    expect(moreLinkedSessions).to.equal(true);
  });

  it('leaves an erased person out of the import of a company, original or copy', async () => {
    const { client, db, source, target } = harness;
    const people = await createSessions(db, source, 'user', 3);
    const [original = people[0], copied, kept] = people;
    const company = await createCompany(db, source, people);
    // One is imported with another company, and its copy erased.
    const earlier = await client.import(
      target.apiKey,
      await requestWithLinked(harness, await createCompany(db, source, [copied ?? null])),
    );
    const copy = earlier.linkedSessions[0]?.session?.sessionId ?? '';
    await erase(harness, target, copy);
    await erase(harness, source, original ?? '');

    const request = await requestWithLinked(harness, company);
    const preview = await client.import(target.apiKey, { ...request, validateOnly: true });
    const answer = await client.import(target.apiKey, request);
    for (const { linkedSessions } of [preview, answer]) {
      expect(linkedSessions.map(({ session }) => session?.sharedFromSession)).to.deep.equal([kept]);
    }
    const rows = await keyPeopleOf(sessionOf(answer).sessionId as SessionId);
    expect(rows.map((row) => row['kyc_session_id'] !== null)).to.deep.equal([false, false, true]);
  });

  it('forgets the answer to the company as well, which has the URL of the person', async () => {
    const { client, db, source, target } = harness;
    const company = await createCompany(db, source, [await createSession(db, source, 'user')]);
    const request = { ...(await requestWithLinked(harness, company)), requestId: newId() };
    const { linkedSessions } = await client.import(target.apiKey, request);
    await erase(harness, target, linkedSessions[0]?.session?.sessionId ?? '');
    const [entry] = await ledgerOf(target, company);
    expect(entry).to.include({ request_id: null, answer: null });
    expect(await failureOf(client.import(target.apiKey, request))).to.include({
      reason: 'SESSION_ALREADY_IMPORTED',
    });
  });

  it('leaves nothing out of the pages of a list but what is erased', async () => {
    const { db } = harness;
    const tenant = await createTenant(db);
    const sessions = await createSessions(db, tenant, 'user', 12);
    for (const [index, id] of sessions.entries()) {
      if (index % 3 !== 0) await erase(harness, tenant, id);
    }
    const left = sessions.filter((_, index) => index % 3 === 0).toReversed();
    for (const pageSize of [1, 2, 5, 50]) {
      expect(await listed(tenant, { pageSize })).to.deep.equal(left);
      const statuses = [SessionStatus.SESSION_STATUS_APPROVED];
      expect((await listed(tenant, { pageSize, statuses })).toSorted()).to.deep.equal(
        left.toSorted(),
      );
    }
  });

  it('records who has asked, when, and nothing about the session', async () => {
    const { db, source } = harness;
    const sessionId = await createSession(db, source, 'user');
    const { erasedAt } = await erase(harness, source, sessionId);
    const [row] = await select('SELECT * FROM session_erasures WHERE session_id = ?', [
      toBinary(sessionId),
    ]);
    expect(row).to.include({
      session_kind: 'user',
      cause: 'request',
      gateway: null,
      pruned_at: null,
    });
    expect(row?.['api_key_id']).to.be.instanceOf(Buffer);
    expect(String(row?.['erased_at'])).to.equal(
      erasedAt?.toISOString().replace('T', ' ').replace('Z', '000'),
    );
  });
});
