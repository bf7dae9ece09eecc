import { expect } from 'chai';
import type { SessionEvent } from '../../src/gen/sessionimport/v1/session_events';
import {
  SessionShareService,
  ShareSessionRequest,
  ListReceivedShareTokensRequest,
  ListWithdrawalsRequest,
  WithdrawalOutcome,
  WithdrawalReason,
} from '../../src/gen/sessionimport/v1/session_share';
import { newId, toBinary, toId, type SessionId } from '../../src/model/ids';
import { must } from '../../src/model/must';
import { sessionKinds, type SessionKind } from '../../src/model/session';
import { failureOf, sessionOf } from '../support/client';
import { wireSides } from '../support/connection-calls';
import { createCompany, requestWithLinked } from '../support/companies';
import { erase } from '../support/erasure';
import { eventsOf, listEvents, quickEvents, typesOf } from '../support/events';
import { createSession, createTenant, type Tenant } from '../support/fixtures';
import { eventually } from '../support/helpers';
import { startHarness, type Harness } from '../support/service';
import { acknowledge, withdraw, withdrawalsOf } from '../support/withdrawals';

const { shareSession, listReceivedShareTokens, listWithdrawals } = SessionShareService;
const { WITHDRAWAL_REASON_RECTIFIED: rectified } = WithdrawalReason;
const {
  WITHDRAWAL_OUTCOME_ERASED: erased,
  WITHDRAWAL_OUTCOME_KEPT: kept,
  WITHDRAWAL_OUTCOME_UNDER_REVIEW: underReview,
  WITHDRAWAL_OUTCOME_UNSPECIFIED: unanswered,
} = WithdrawalOutcome;

describe('a withdrawal', () => {
  let harness: Harness;
  let a: Tenant;
  let b: Tenant;
  let c: Tenant;
  let original: SessionId;
  before(async () => {
    harness = await startHarness({ environment: quickEvents });
  });
  beforeEach(async () => {
    [a, b, c] = await Promise.all([
      createTenant(harness.db),
      createTenant(harness.db),
      createTenant(harness.db),
    ]);
    original = await createSession(harness.db, a, 'user');
  });
  after(() => harness.stop());

  const copyTo = async (
    to: Tenant,
    from: Tenant,
    session: string,
    kind: SessionKind = 'user',
  ): Promise<SessionId> => {
    const shareToken = await harness.signer.share(from, to, kind, toId(session));
    const answer = await harness.client.import(to.apiKey, {
      shareToken,
      workflowId: to.workflows[kind],
    });
    return toId(sessionOf(answer).sessionId);
  };

  /** Waits until a tenant has been told, and returns the event. */
  const toldTo = async (tenant: Tenant, copy: string): Promise<SessionEvent> => {
    let found: SessionEvent | undefined;
    await eventually(async () => {
      const { events } = await listEvents(harness, tenant, { pageSize: 500 });
      const told = events.filter((event) => typesOf([event])[0] === 'SOURCE_WITHDRAWN');
      found = told.find(({ sessionId }) => sessionId === copy);
      return found !== undefined;
    });
    return must(found, 'the event');
  };

  const share = (by: Tenant, session: string, to: Tenant) =>
    harness.client.call(
      shareSession,
      by.apiKey,
      ShareSessionRequest.fromPartial({ sessionId: session, forApplicationId: to.applicationId }),
    );

  for (const kind of sessionKinds) {
    it(`of a ${kind} session reaches every copy, down the chain, and nobody learns of the others`, async () => {
      const first = await createSession(harness.db, a, kind);
      const d = await createTenant(harness.db);
      const ofB = await copyTo(b, a, first, kind);
      const ofC = await copyTo(c, b, ofB, kind);
      const ofD = await copyTo(d, c, ofC, kind);
      const back = await copyTo(a, d, ofD, kind);
      await withdraw(harness, a, first);
      const told = await Promise.all([
        toldTo(b, ofB),
        toldTo(c, ofC),
        toldTo(d, ofD),
        toldTo(a, back),
      ]);
      const froms = [first, ofB, ofC, ofD];
      const others = [a, b, c, d];
      for (const [index, event] of told.entries()) {
        expect(event).to.include({
          sharedFromSession: froms[index],
          otherApplicationId: others[index]?.applicationId,
          reason: 'CONSENT_WITHDRAWN',
        });
      }
      const own = await eventsOf(harness, a, 3);
      expect(own.find((event) => typesOf([event])[0] === 'SESSION_WITHDRAWN')).to.include({
        sessionId: first,
        otherApplicationId: undefined,
        reason: 'CONSENT_WITHDRAWN',
      });
      // All that C can see of it names neither A nor D's further copies.
      const seen = JSON.stringify([
        await withdrawalsOf(harness, c, 'recipient'),
        await withdrawalsOf(harness, c, 'source'),
        (await listEvents(harness, c)).events,
      ]);
      for (const hidden of [a.applicationId, first, ofB === ofC ? '' : back])
        expect(seen).not.to.include(hidden);
      expect(seen).to.include(ofB).and.include(d.applicationId);
    });
  }

  it('stops imports at once, also with tokens that were signed elsewhere, and then those of the copies', async () => {
    const ofB = await copyTo(b, a, original);
    const { shareToken } = await share(a, original, c);
    const elsewhere = await harness.signer.share(a, c, 'user', original);
    const { revoked } = await withdraw(harness, a, original);
    expect(revoked).to.equal(1);
    const importing = (token: string) =>
      failureOf(
        harness.client.import(c.apiKey, { shareToken: token, workflowId: c.workflows.user }),
      );
    expect((await importing(shareToken)).reason).to.equal('SHARE_TOKEN_REVOKED');
    expect(await importing(elsewhere)).to.deep.include({
      code: 'PERMISSION_DENIED',
      reason: 'SOURCE_SESSION_WITHDRAWN',
      metadata: { shared_from_session: original },
    });
    expect(await failureOf(share(a, original, c))).to.include({
      code: 'FAILED_PRECONDITION',
      reason: 'SESSION_WITHDRAWN',
    });
    await toldTo(b, ofB);
    const ofCopy = await harness.signer.share(b, c, 'user', ofB);
    expect((await importing(ofCopy)).reason).to.equal('SOURCE_SESSION_WITHDRAWN');
    expect((await failureOf(share(b, ofB, c))).reason).to.equal('SESSION_WITHDRAWN');
  });

  it('makes tokens of copies useless: they are no longer listed', async () => {
    const ofB = await copyTo(b, a, original);
    await share(b, ofB, c);
    const received = async () =>
      (
        await harness.client.call(
          listReceivedShareTokens,
          c.apiKey,
          ListReceivedShareTokensRequest.fromPartial({}),
        )
      ).shareTokens;
    expect(await received()).to.have.length(1);
    await withdraw(harness, a, original);
    await toldTo(b, ofB);
    expect(await received()).to.deep.equal([]);
  });

  it('because of a correction is told each time, and the session can be shared again', async () => {
    await copyTo(b, a, original);
    const { shareToken } = await share(a, original, c);
    await withdraw(harness, a, original, rectified);
    await withdraw(harness, a, original, rectified);
    await eventually(async () => (await withdrawalsOf(harness, b, 'recipient')).length === 2);
    await eventsOf(harness, b, 3);
    expect(typesOf((await listEvents(harness, b)).events)).to.deep.equal([
      'SESSION_IMPORTED',
      'SOURCE_WITHDRAWN',
      'SOURCE_WITHDRAWN',
    ]);
    const importing = { shareToken, workflowId: c.workflows.user };
    expect((await failureOf(harness.client.import(c.apiKey, importing))).reason).to.equal(
      'SHARE_TOKEN_REVOKED',
    );
    const again = await share(a, original, c);
    await harness.client.import(c.apiKey, { ...importing, shareToken: again.shareToken });
  });

  it('because of a correction stops imports of copies until their applications keep them', async () => {
    const ofB = await copyTo(b, a, original);
    const ofC = await copyTo(c, b, ofB);
    const d = await createTenant(harness.db);
    await share(b, ofB, d);
    const listed = async () =>
      (
        await harness.client.call(
          listReceivedShareTokens,
          d.apiKey,
          ListReceivedShareTokensRequest.fromPartial({}),
        )
      ).shareTokens.length;
    await withdraw(harness, a, original, rectified);
    await Promise.all([toldTo(b, ofB), toldTo(c, ofC)]);
    const expectStopped = async () => {
      for (const [from, copy] of [
        [b, ofB],
        [c, ofC],
      ] as const) {
        expect((await failureOf(copyTo(d, from, copy))).reason).to.equal(
          'SOURCE_SESSION_WITHDRAWN',
        );
        expect((await failureOf(share(from, copy, d))).reason).to.equal('SESSION_WITHDRAWN');
      }
      expect(await listed()).to.equal(0);
    };
    await expectStopped();
    await acknowledge(harness, b, ofB, underReview);
    await expectStopped();
    await acknowledge(harness, b, ofB, kept);
    expect(await listed()).to.equal(1);
    await copyTo(d, b, ofB);
    expect((await failureOf(copyTo(d, c, ofC))).reason).to.equal('SOURCE_SESSION_WITHDRAWN');
    // It is corrected once more.
    await withdraw(harness, a, original, rectified);
    await eventually(
      async () =>
        (await withdrawalsOf(harness, b, 'recipient')).filter(({ toldAt }) => toldAt).length === 2,
    );
    expect((await failureOf(share(b, ofB, c))).reason).to.equal('SESSION_WITHDRAWN');
    await acknowledge(harness, b, ofB, kept);
    await share(b, ofB, c);
    // Nothing brings back what was withdrawn for good.
    await withdraw(harness, b, ofB);
    await acknowledge(harness, b, ofB, kept);
    expect((await failureOf(share(b, ofB, c))).reason).to.equal('SESSION_WITHDRAWN');
  });

  it('is made once for each reason, whatever was withdrawn before', async () => {
    const ofB = await copyTo(b, a, original);
    const first = await withdraw(harness, a, original);
    const again = await withdraw(harness, a, original);
    expect(again.withdrawnAt).to.deep.equal(first.withdrawnAt);
    await withdraw(harness, a, original, WithdrawalReason.WITHDRAWAL_REASON_RELIANCE_ENDED);
    await eventually(async () => (await withdrawalsOf(harness, b, 'recipient')).length === 2);
    await toldTo(b, ofB);
    expect((await withdrawalsOf(harness, a, 'source')).map(({ reason }) => reason)).to.have.members(
      [
        WithdrawalReason.WITHDRAWAL_REASON_CONSENT_WITHDRAWN,
        WithdrawalReason.WITHDRAWAL_REASON_RELIANCE_ENDED,
      ],
    );
  });

  it('is answered by the application that has a copy, and the source sees the newest answer', async () => {
    const [ofB, ofC] = [await copyTo(b, a, original), await copyTo(c, a, original)];
    const ofCopy = await copyTo(c, b, ofB);
    await withdraw(harness, a, original);
    await Promise.all([toldTo(b, ofB), toldTo(c, ofC), toldTo(c, ofCopy)]);
    const until = new Date('2031-01-01T00:00:00Z');
    expect(await acknowledge(harness, b, ofB, underReview)).to.deep.equal({ withdrawals: 1 });
    await acknowledge(harness, b, ofB, kept, until);
    // A call whose answer was lost is made again.
    await acknowledge(harness, b, ofB, kept, until);
    const listed = await withdrawalsOf(harness, a, 'source');
    const answers = new Map(listed.map((each) => [each.otherApplicationId, each]));
    expect(listed).to.have.length(2);
    expect(answers.get(b.applicationId)).to.deep.include({
      sessionId: original,
      outcome: kept,
      keptUntil: until,
    });
    expect(answers.get(b.applicationId)?.answeredAt).to.be.instanceOf(Date);
    expect(answers.get(c.applicationId)).to.deep.include({
      outcome: unanswered,
      answeredAt: undefined,
    });
    await eventually(async () => (await answered(a)).length === 2);
    expect(await answered(a)).to.deep.equal(['UNDER_REVIEW', 'KEPT']);
    // Only the direct source is told.
    expect(await answered(b)).to.deep.equal([]);
    await acknowledge(harness, c, ofCopy, kept);
    await eventually(async () => (await answered(b)).length === 1);
    expect(await answered(a)).to.deep.equal(['UNDER_REVIEW', 'KEPT']);
  });

  const answered = async (tenant: Tenant): Promise<(string | undefined)[]> =>
    (await listEvents(harness, tenant, { pageSize: 500 })).events
      .filter((event) => typesOf([event])[0] === 'WITHDRAWAL_ANSWERED')
      .map(({ reason }) => reason);

  it('is answered by the erasure of the copy, before or after its application was told', async () => {
    const [ofB, ofC] = [await copyTo(b, a, original), await copyTo(c, a, original)];
    await erase(harness, c, ofC);
    await withdraw(harness, a, original);
    await toldTo(b, ofB);
    await erase(harness, b, ofB);
    await eventually(async () => (await answered(a)).length >= 1);
    await eventually(async () =>
      (await withdrawalsOf(harness, a, 'source')).every(({ toldAt }) => toldAt !== undefined),
    );
    const listed = await withdrawalsOf(harness, a, 'source');
    expect(listed.map(({ outcome }) => outcome)).to.deep.equal([erased, erased]);
    expect(typesOf((await listEvents(harness, c)).events)).not.to.include('SOURCE_WITHDRAWN');
  });

  it('is what the erasure of a session is for those who have a copy', async () => {
    const ofB = await copyTo(b, a, original);
    const ofC = await copyTo(c, b, ofB);
    await erase(harness, a, original);
    expect((await toldTo(b, ofB)).reason).to.equal('ERASED');
    expect((await toldTo(c, ofC)).reason).to.equal('ERASED');
    const [listed] = await withdrawalsOf(harness, c, 'recipient', { sessionId: ofC });
    expect(listed).to.include({
      reason: WithdrawalReason.WITHDRAWAL_REASON_ERASED,
      sharedFromSession: ofB,
    });
  });

  it('for the reason ERASED is told once, also if the session is then erased', async () => {
    const ofB = await copyTo(b, a, original);
    await withdraw(harness, a, original, WithdrawalReason.WITHDRAWAL_REASON_ERASED);
    await toldTo(b, ofB);
    await erase(harness, a, original);
    expect(await withdrawalsOf(harness, a, 'source')).to.have.length(1);
    const own = await eventsOf(harness, a, 3);
    expect(typesOf(own)).to.deep.equal(['SESSION_IMPORTED', 'SESSION_WITHDRAWN', 'SESSION_ERASED']);
  });

  it('goes on behind a copy that was erased, and whose data are deleted', async () => {
    const ofB = await copyTo(b, a, original);
    const ofC = await copyTo(c, b, ofB);
    await harness
      .db('user_sessions')
      .where({ id: toBinary(ofB) })
      .delete();
    await withdraw(harness, a, original);
    await toldTo(c, ofC);
    expect(typesOf((await listEvents(harness, b)).events)).not.to.include('SOURCE_WITHDRAWN');
  });

  it('of the session of a key person leaves it out of the import of the company', async () => {
    const people = [original, await createSession(harness.db, a, 'user')];
    const company = await createCompany(harness.db, a, people);
    await withdraw(harness, a, original);
    const { linkedSessions } = await harness.client.import(
      b.apiKey,
      await requestWithLinked({ ...harness, source: a, target: b }, company),
    );
    expect(linkedSessions.map(({ session }) => session?.sharedFromSession)).to.deep.equal([
      people[1],
    ]);
  });

  it('waits for a copy that somebody holds, and holds up no other', async () => {
    const [ofB, ofC] = [await copyTo(b, a, original), await copyTo(c, a, original)];
    await harness.db.transaction(async (held) => {
      await held('user_sessions')
        .where({ id: toBinary(ofB) })
        .forUpdate();
      await withdraw(harness, a, original);
      await toldTo(c, ofC);
      expect(typesOf((await listEvents(harness, b)).events)).not.to.include('SOURCE_WITHDRAWN');
    });
    await toldTo(b, ofB);
  });

  it('against an import of the same session: it is refused, or its application is told', async () => {
    const tenants = await Promise.all(Array.from({ length: 40 }, () => createTenant(harness.db)));
    const tokens = await Promise.all(
      tenants.map((tenant) => harness.signer.share(a, tenant, 'user', original)),
    );
    const calls = tenants.map((tenant, index) =>
      harness.client.import(tenant.apiKey, {
        shareToken: tokens[index] ?? '',
        workflowId: tenant.workflows.user,
      }),
    );
    const [endings] = await Promise.all([
      Promise.allSettled(calls),
      withdraw(harness, a, original),
    ]);
    let copies = 0;
    for (const [index, tenant] of tenants.entries()) {
      const call = must(calls[index], 'a call');
      if (endings[index]?.status === 'fulfilled') {
        await toldTo(tenant, sessionOf(await call).sessionId);
        copies += 1;
      } else {
        expect((await failureOf(call)).reason).to.equal('SOURCE_SESSION_WITHDRAWN');
      }
    }
    expect(await withdrawalsOf(harness, a, 'source')).to.have.length(copies);
  });

  it('is listed in pages, and for one session', async () => {
    const another = await createSession(harness.db, a, 'user');
    for (const session of [original, another]) {
      await copyTo(b, a, session);
      await copyTo(c, a, session);
      await withdraw(harness, a, session);
    }
    const all = await withdrawalsOf(harness, a, 'source', { pageSize: 1 });
    expect(all.map(({ sessionId }) => sessionId)).to.deep.equal([
      another,
      another,
      original,
      original,
    ]);
    const some = await withdrawalsOf(harness, a, 'source', { sessionId: another });
    expect(some).to.have.length(2);
  });

  it('is listed for a source without the ids of the copies, also in page tokens', async () => {
    const copies = [await copyTo(b, a, original), await copyTo(c, a, original)];
    await withdraw(harness, a, original);
    const { nextPageToken, withdrawals } = await harness.client.call(
      listWithdrawals,
      a.apiKey,
      ListWithdrawalsRequest.fromPartial({ ownSide: wireSides.source, pageSize: 1 }),
    );
    const seen = Buffer.from(nextPageToken, 'base64url').toString() + JSON.stringify(withdrawals);
    expect(seen).to.include(withdrawals[0]?.withdrawalId);
    for (const copy of copies) expect(seen).not.to.include(copy);
  });

  it('names what is wrong', async () => {
    const ofB = await copyTo(b, a, original);
    const reasonOf = async (call: Promise<unknown>) => (await failureOf(call)).reason;
    expect(await reasonOf(withdraw(harness, b, original))).to.equal('SESSION_NOT_FOUND');
    expect(await reasonOf(withdraw(harness, a, newId()))).to.equal('SESSION_NOT_FOUND');
    expect(
      await reasonOf(
        withdraw(harness, a, original, WithdrawalReason.WITHDRAWAL_REASON_UNSPECIFIED),
      ),
    ).to.equal('INVALID_REQUEST');
    expect(await reasonOf(acknowledge(harness, b, ofB, kept))).to.equal('WITHDRAWAL_NOT_FOUND');
    expect(await reasonOf(acknowledge(harness, a, ofB, kept))).to.equal('SESSION_NOT_FOUND');
    await withdraw(harness, a, original);
    await toldTo(b, ofB);
    const invalid = [
      ...([[erased], [unanswered], [underReview, new Date()]] as const),
      [kept, new Date('0001-01-01T00:00:00Z')],
    ] as const;
    for (const [outcome, until] of invalid) {
      const call = acknowledge(harness, b, ofB, outcome, until);
      expect(await reasonOf(call)).to.equal('INVALID_REQUEST');
    }
    // The withdrawn session itself is no copy.
    expect(await reasonOf(acknowledge(harness, a, original, kept))).to.equal(
      'WITHDRAWAL_NOT_FOUND',
    );
  });
});
