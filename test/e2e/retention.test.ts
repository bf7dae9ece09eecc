import { expect } from 'chai';
import { GetSessionRequest, SessionReadService } from '../../src/gen/sessionimport/v1/session_read';
import type { Retention } from '../../src/gen/sessionimport/v1/session_erasure';
import { failureOf } from '../support/client';
import { erase, retain } from '../support/erasure';
import { createSession } from '../support/fixtures';
import { startHarness, type Harness } from '../support/service';

const day = 86_400_000;

describe('SetRetention', () => {
  let harness: Harness;
  let now = new Date('2027-01-01T00:00:00Z');
  before(async () => {
    harness = await startHarness({ clock: () => now });
  });
  after(() => harness.stop());

  const shown = async (sessionId: string): Promise<Retention | undefined> =>
    (
      await harness.client.call(
        SessionReadService.getSession,
        harness.source.apiKey,
        GetSessionRequest.fromPartial({ sessionId }),
      )
    ).session?.retention;

  const later = (days: number): Date => new Date(now.getTime() + days * day);
  const hold = (until?: Date, reference?: string): Retention => ({
    eraseAfter: undefined,
    hold: { until, reference },
  });

  it('is shown by GetSession, as it was set last', async () => {
    const { db, source } = harness;
    const sessionId = await createSession(db, source, 'business');
    expect(await shown(sessionId)).to.equal(undefined);
    for (const retention of [
      { eraseAfter: later(30), hold: undefined },
      hold(later(10), 'case/2027-17'),
      { ...hold(), eraseAfter: later(1) },
    ]) {
      expect((await retain(harness, source, sessionId, retention)).retention).to.deep.equal(
        retention,
      );
      expect(await shown(sessionId)).to.deep.equal(retention);
    }
    await retain(harness, source, sessionId, undefined);
    expect(await shown(sessionId)).to.equal(undefined);
  });

  it('makes a hold refuse an erasure, until it ends by itself or is removed', async () => {
    const { db, source } = harness;
    const sessionId = await createSession(db, source, 'user');
    const until = later(10);
    await retain(harness, source, sessionId, hold(until));
    const refused = await failureOf(erase(harness, source, sessionId));
    expect(refused).to.deep.include({
      code: 'FAILED_PRECONDITION',
      reason: 'SESSION_ON_HOLD',
      metadata: { session_id: sessionId, until: until.toISOString() },
    });
    now = until;
    await erase(harness, source, sessionId);

    const another = await createSession(db, source, 'user');
    await retain(harness, source, another, hold(undefined, 'case/4'));
    expect(await failureOf(erase(harness, source, another))).to.deep.include({
      metadata: { session_id: another },
    });
    await retain(harness, source, another, { eraseAfter: later(400), hold: undefined });
    await erase(harness, source, another);
  });

  it('names what is wrong', async () => {
    const { db, source } = harness;
    const sessionId = await createSession(db, source, 'user');
    for (const [retention, field] of [
      [{ eraseAfter: now, hold: undefined }, 'retention.erase_after'],
      [hold(new Date(0)), 'retention.hold.until'],
      [hold(undefined, ''), 'retention.hold.reference'],
      [hold(undefined, 'Ana Costa'), 'retention.hold.reference'],
      [hold(undefined, 'a'.repeat(129)), 'retention.hold.reference'],
    ] as const) {
      const { reason, badRequest } = await failureOf(retain(harness, source, sessionId, retention));
      expect(reason).to.equal('INVALID_REQUEST');
      expect(badRequest?.fieldViolations.map((each) => each.field)).to.deep.equal([field]);
    }
    expect(await shown(sessionId)).to.equal(undefined);
  });
});
