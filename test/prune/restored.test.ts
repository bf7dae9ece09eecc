import { expect } from 'chai';
import { toBinary, toId, type SessionId } from '../../src/model/ids';
import { kindSchemas } from '../../src/model/relations';
import { sessionKinds, type SessionKind } from '../../src/model/session';
import { GetSessionRequest, SessionReadService } from '../../src/gen/sessionimport/v1/session_read';

import { replayErasure, type Erasure } from '../../src/store/erasures';
import { failureOf, sessionOf } from '../support/client';
import { erase } from '../support/erasure';
import { addLogs, createSession, createTenant, type Tenant } from '../support/fixtures';
import { eventually } from '../support/helpers';
import { startPruneHarness, type PruneHarness } from '../support/pruning';
import { withdrawalsOf } from '../support/withdrawals';

describe('a session that a restore brings back, while its erasure is on record,', () => {
  let harness: PruneHarness;
  before(async () => {
    harness = await startPruneHarness();
  });
  after(() => harness.stop());

  const get = (sessionId: string) =>
    harness.client.call(
      SessionReadService.getSession,
      harness.source.apiKey,
      GetSessionRequest.fromPartial({ sessionId }),
    );

  /** Erases a session, deletes its data, and makes it again. */
  const comesBack = async (kind: SessionKind): Promise<Erasure> => {
    const { db, source } = harness;
    const sessionId = await createSession(db, source, kind);
    const { erasedAt = new Date(NaN) } = await erase(harness, source, sessionId);
    await harness.prune();
    await makeAgain(kind, sessionId);
    return { sessionId, kind, erasedAt, applicationId: source.applicationId };
  };

  const makeAgain = async (kind: SessionKind, id: SessionId): Promise<void> => {
    const { db, source } = harness;
    const made = await createSession(db, source, kind);
    await db(kindSchemas[kind].sessions)
      .where({ id: toBinary(made) })
      .update({ id: toBinary(id) });
    await addLogs(db, kind, id, 3);
  };

  const expectDeleted = async ({ kind, sessionId }: Erasure): Promise<void> => {
    const { db } = harness;
    const where = { id: toBinary(sessionId) };
    expect(await db(kindSchemas[kind].sessions).where(where).select('id')).to.deep.equal([]);
    const records: Record<string, unknown>[] = await db('session_erasures').where({
      session_id: toBinary(sessionId),
    });
    expect(records.map((record) => record['pruned_at'] === null)).to.deep.equal([false]);
  };

  it('of which nothing else is left is withdrawn by a replay as well, down the chain', async () => {
    const { db, source, target } = harness;
    const third = await createTenant(db);
    const original = await createSession(db, source, 'user');
    const copyTo = async (to: Tenant, from: Tenant, session: SessionId): Promise<SessionId> => {
      const shareToken = await harness.signer.share(from, to, 'user', session);
      const answer = await harness.client.import(to.apiKey, {
        ...{ shareToken, workflowId: to.workflows.user },
      });
      return toId(sessionOf(answer).sessionId);
    };
    const copy = await copyTo(target, source, original);
    // The backup is from here: nothing of the erasure is in it.
    const replayed = () =>
      replayErasure(harness.jobDb, {
        ...{ sessionId: original, kind: 'user', erasedAt: new Date() },
        applicationId: source.applicationId,
      });
    expect(await replayed()).to.equal(true);
    await eventually(
      async () => (await withdrawalsOf(harness, target, 'recipient'))[0]?.toldAt !== undefined,
    );
    expect(await failureOf(copyTo(third, target, copy))).to.include({
      reason: 'SOURCE_SESSION_WITHDRAWN',
    });
    await replayed();
    expect(await withdrawalsOf(harness, target, 'recipient')).to.have.length(1);
  });

  for (const kind of sessionKinds) {
    it(`is erased by a replay, and its data are deleted again (${kind})`, async () => {
      const erasure = await comesBack(kind);
      expect(await replayErasure(harness.jobDb, erasure)).to.equal(true);
      expect(await harness.prune()).to.include({ sessions: 1, rows: 3 });
      await expectDeleted(erasure);
    });

    it(`is erased by a call (${kind})`, async () => {
      const erasure = await comesBack(kind);
      const { sessionId, erasedAt } = erasure;
      const again = await erase(harness, harness.source, sessionId);
      expect(again.erasedAt).to.be.greaterThan(erasedAt);
      expect(await failureOf(get(sessionId))).to.include({ reason: 'SESSION_NOT_FOUND' });
      expect(await erase(harness, harness.source, sessionId)).to.deep.equal(again);
      expect(await harness.prune()).to.include({ sessions: 1, rows: 3 });
      await expectDeleted(erasure);
    });

    it(`is deleted if it comes after the replay, and stops no other erasure (${kind})`, async () => {
      const { db, jobDb, source } = harness;
      const erasure = await comesBack(kind);
      const { sessionId, erasedAt } = erasure;
      await db('session_erasures')
        .where({ session_id: toBinary(sessionId) })
        .update({ pruned_at: null });
      const other = await createSession(db, source, 'user');
      await replayErasure(jobDb, {
        ...{ sessionId: other, kind: 'user', erasedAt, applicationId: source.applicationId },
      });
      expect(await harness.prune({ batch: 2 })).to.include({ sessions: 2, rows: 3 });
      await expectDeleted(erasure);
    });
  }
});
