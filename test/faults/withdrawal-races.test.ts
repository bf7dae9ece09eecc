import { expect } from 'chai';
import { WithdrawalOutcome } from '../../src/gen/sessionimport/v1/session_share';
import { toId, type SessionId } from '../../src/model/ids';
import { failureOf, sessionOf } from '../support/client';
import { createCompany, requestWithLinked } from '../support/companies';
import { erase } from '../support/erasure';
import { listEvents, numberAll, typesOf } from '../support/events';
import { createSession } from '../support/fixtures';
import { rowLockWaits } from '../support/rows';
import { startProxiedHarness, type ProxiedHarness } from '../support/service';
import { acknowledge, withdraw, withdrawalsOf } from '../support/withdrawals';

const { WITHDRAWAL_OUTCOME_ERASED: erased, WITHDRAWAL_OUTCOME_KEPT: kept } = WithdrawalOutcome;

describe('a withdrawal', () => {
  let harness: ProxiedHarness;
  beforeEach(async () => {
    harness = await startProxiedHarness();
  });
  afterEach(() => harness.stop());

  /** A session of the source that was withdrawn, and the target's copy of it. */
  const withdrawnCopy = async (): Promise<SessionId> => {
    const { source, target, signer, client } = harness;
    const original = await createSession(harness.db, source, 'user');
    const answer = await client.import(target.apiKey, {
      shareToken: await signer.share(source, target, 'user', original),
      workflowId: target.workflows.user,
    });
    await withdraw(harness, source, original);
    return toId(sessionOf(answer).sessionId);
  };

  it('that waits for an import comes behind it in the feed', async () => {
    const { proxy, source } = harness;
    const company = await createCompany(harness.db, source, []);
    // The import has locked the company, and is about to copy it.
    const held = proxy.holdBack('INTO session_imports');
    const importing = harness.client.import(
      harness.target.apiKey,
      await requestWithLinked(harness, company),
    );
    await held.came;
    const withdrawing = withdraw(harness, source, company);
    await rowLockWaits();
    held.letGo();
    await Promise.all([importing, withdrawing]);
    await numberAll();
    expect(typesOf((await listEvents(harness, source)).events)).to.deep.equal([
      'SESSION_IMPORTED',
      'SESSION_WITHDRAWN',
    ]);
  });

  it('has no earlier time than a copy that was made before it', async () => {
    const { proxy, source, target, signer, client } = harness;
    const original = await createSession(harness.db, source, 'user');
    const shareToken = await signer.share(source, target, 'user', original);
    const held = proxy.holdBack(/`user_sessions`[^]*FOR UPDATE/);
    const withdrawing = withdraw(harness, source, original);
    await held.came;
    const request = { shareToken, workflowId: target.workflows.user };
    const copy = sessionOf(await client.import(target.apiKey, request));
    held.letGo();
    const { withdrawnAt } = await withdrawing;
    expect(Number(withdrawnAt)).to.be.at.least(Number(copy.createdAt));
  });

  it('is not answered with KEPT while its copy is being erased, nor after that', async () => {
    const { proxy, source, target } = harness;
    const copy = await withdrawnCopy();
    const held = proxy.holdBack('SET erased_at');
    const erasing = erase(harness, target, copy);
    await held.came;
    const answering = failureOf(acknowledge(harness, target, copy, kept));
    await rowLockWaits();
    held.letGo();
    await erasing;
    expect(await answering).to.include({ reason: 'INVALID_REQUEST' });
    expect(await failureOf(acknowledge(harness, target, copy, kept))).to.include({
      reason: 'INVALID_REQUEST',
    });
    expect(await acknowledge(harness, target, copy, erased)).to.deep.equal({ withdrawals: 1 });
    const [listed] = await withdrawalsOf(harness, source, 'source');
    expect(listed).to.include({ outcome: erased });
  });
});
