import { expect } from 'chai';
import { endings, failureOf, sessionOf } from '../support/client';
import { ledgerOf } from '../support/companies';
import { erase, retain } from '../support/erasure';
import { addLogs, createSession } from '../support/fixtures';
import { rowLockWaits } from '../support/rows';
import { startProxiedHarness, type ProxiedHarness } from '../support/service';

describe('an erasure', () => {
  let harness: ProxiedHarness;
  before(async () => {
    harness = await startProxiedHarness();
  });
  after(() => harness.stop());

  const session = async () => {
    const { db, source, target, signer } = harness;
    const id = await createSession(db, source, 'user');
    await addLogs(db, 'user', id, 3);
    return { id, shareToken: await signer.share(source, target, 'user', id) };
  };
  const importBy = (shareToken: string) =>
    harness.client.import(harness.target.apiKey, {
      shareToken,
      workflowId: harness.target.workflows.user,
    });

  it('races imports of the same session, and none is made after its answer', async () => {
    const { source, target } = harness;
    const races = Array.from({ length: 40 }, async (_, index) => {
      const { id, shareToken } = await session();
      const importing = endings([importBy(shareToken)]);
      // Some begin later, so that every step of an import is met.
      for (let turns = 0; turns < index * 3; turns++) await new Promise(setImmediate);
      await erase(harness, source, id);
      const entriesAtTheAnswer = await ledgerOf(target, id);
      const [ended] = await importing;
      return { ended, made: entriesAtTheAnswer.length, id };
    });
    for (const { ended, made, id } of await Promise.all(races)) {
      expect(ended).to.equal(made === 0 ? 'SOURCE_SESSION_NOT_FOUND' : 'OK');
      expect(await ledgerOf(target, id)).to.have.length(made);
    }
  });

  it('waits for an import that has begun, which makes its copy', async () => {
    const { proxy, source, target } = harness;
    const { id, shareToken } = await session();
    const held = proxy.holdBack('INSERT INTO session_imports');
    const importing = importBy(shareToken);
    await held.came;
    const erasing = erase(harness, source, id);
    await rowLockWaits();
    held.letGo();
    expect(sessionOf(await importing).sharedFromSession).to.equal(id);
    await erasing;
    expect(await ledgerOf(target, id)).to.have.length(1);
  });

  it('has no earlier time than a copy that was made before it', async () => {
    const { proxy, source } = harness;
    const { id, shareToken } = await session();
    const held = proxy.holdBack(/`user_sessions`[^]*FOR UPDATE/);
    const erasing = erase(harness, source, id);
    await held.came;
    const copy = sessionOf(await importBy(shareToken));
    held.letGo();
    const { erasedAt } = await erasing;
    expect(Number(erasedAt)).to.be.at.least(Number(copy.createdAt));
  });

  it('lets an import wait for it that comes while it runs, and the import finds no session', async () => {
    const { proxy, source, target } = harness;
    const { id, shareToken } = await session();
    const held = proxy.holdBack('SET erased_at');
    const erasing = erase(harness, source, id);
    await held.came;
    const importing = failureOf(importBy(shareToken));
    await rowLockWaits();
    held.letGo();
    await erasing;
    expect(await importing).to.include({ reason: 'SOURCE_SESSION_NOT_FOUND' });
    expect(await ledgerOf(target, id)).to.deep.equal([]);
  });

  it('races a hold: it is refused, or the hold finds no session', async () => {
    const { source } = harness;
    for (let round = 0; round < 10; round++) {
      const { id } = await session();
      const hold = { hold: { until: undefined, reference: undefined }, eraseAfter: undefined };
      const calls = [retain(harness, source, id, hold), erase(harness, source, id)];
      const ends = await endings(calls);
      expect([
        ['OK', 'SESSION_ON_HOLD'],
        ['SESSION_NOT_FOUND', 'OK'],
      ]).to.deep.include(ends);
    }
  });

  it('is made once if the answer to its COMMIT is lost', async () => {
    const { proxy, source } = harness;
    const { id } = await session();
    let lost = false;
    proxy.intercept = async (statement) => {
      if (lost || !/^COMMIT/i.test(statement.sql)) return;
      lost = true;
      await statement.answered();
      statement.cut();
    };
    const erased = await erase(harness, source, id);
    proxy.intercept = undefined;
    expect(lost).to.equal(true);
    expect(await erase(harness, source, id)).to.deep.equal(erased);
  });
});
