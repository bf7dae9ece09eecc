import { expect } from 'chai';
import { waitingErasuresCount } from '../../src/store/erasures';
import { dueSessionsCount } from '../../src/store/retention';
import { read } from '../../src/db/query';
import { toBinary, toId } from '../../src/model/ids';
import { failureOf } from '../support/client';
import { erase, retain } from '../support/erasure';
import { createSessions } from '../support/fixtures';
import { eventually } from '../support/helpers';
import { scrape, sumOf } from '../support/metrics';
import { startPruneHarness, type PruneHarness } from '../support/pruning';
import { startHarness } from '../support/service';

const hour = 3_600_000;

describe('what waits for the job that prunes', () => {
  let harness: PruneHarness;
  before(async function () {
    this.timeout(120_000);
    harness = await startPruneHarness();
  });
  after(() => harness.stop());

  /** The metrics of a service that has just started. */
  async function told(): Promise<(name: string, labels: Record<string, string>) => number> {
    const service = await startHarness({ environment: { DATABASE_URL: harness.serviceUrl } });
    let series: Awaited<ReturnType<typeof scrape>> = [];
    // It starts before its first look has ended.
    await eventually(async () => {
      series = await scrape(service.server.metricsPort);
      return series.some(({ name }) => name === 'session_import_erasures_waiting');
    });
    await service.stop();
    return (name, labels) => sumOf(series, `session_import_${name}`, labels);
  }

  it('is shown by every service, with how long it has waited', async () => {
    const { db, source, target, client } = harness;
    const [first, second, over, held] = await createSessions(db, source, 'user', 4);
    for (const id of [first, second]) await erase(harness, source, id ?? '');
    const later = new Date(Date.now() + hour);
    const hold = { until: undefined, reference: undefined };
    await retain(harness, source, over ?? '', { eraseAfter: later, hold: undefined });
    await retain(harness, source, held ?? '', { eraseAfter: later, hold });
    await failureOf(client.import(target.apiKey, { shareToken: 'no token' }));

    const before = await told();
    expect(before('erasures_waiting', { step: 'erase' })).to.equal(0);
    expect(before('oldest_erasure_waiting_seconds', { step: 'erase' })).to.equal(0);
    expect(before('erasures_waiting', { step: 'delete' })).to.equal(2);
    expect(before('oldest_row_age_seconds', { table: 'share_tokens' })).to.equal(0);

    const past = (hours: number): Date => new Date(Date.now() - hours * hour);
    await db('session_retention').update({ erase_after: past(5) });
    await db('session_erasures')
      .where({ session_id: toBinary(first ?? source.applicationId) })
      .update({ erased_at: past(50) });
    await db('import_refusals').update({ created_at: past(7) });
    await db.raw('ANALYZE TABLE import_refusals');
    const after = await told();
    expect(after('erasures_waiting', { step: 'erase' })).to.equal(1);
    const hours = (name: string, labels: Record<string, string>): number =>
      Math.floor(after(name, labels) / 3_600);
    expect(hours('oldest_erasure_waiting_seconds', { step: 'erase' })).to.equal(5);
    expect(hours('oldest_erasure_waiting_seconds', { step: 'delete' })).to.equal(50);
    expect(hours('oldest_row_age_seconds', { table: 'import_refusals' })).to.equal(7);
    expect(after('stored_rows', { table: 'import_refusals' })).to.equal(1);

    await harness.prune();
    const end = await told();
    for (const step of ['erase', 'delete']) {
      expect(end('erasures_waiting', { step })).to.equal(0);
      expect(end('oldest_erasure_waiting_seconds', { step })).to.equal(0);
    }
  });

  it('waits since the end of its hold, if that came later', async () => {
    const { db, source } = harness;
    const [id = ''] = await createSessions(db, source, 'user', 1);
    const later = new Date(Date.now() + hour);
    await retain(harness, source, id, { eraseAfter: later, hold: { until: later } });
    const holdUntil = new Date('2026-01-31T12:00:00Z');
    await db('session_retention')
      .where({ session_id: toBinary(toId(id)) })
      .update({ erase_after: new Date('2026-01-01T12:00:00Z'), hold_until: holdUntil });
    const at = new Date('2026-02-01T12:00:00Z');
    expect(await read(db, dueSessionsCount(at, 3))).to.deep.equal({
      waiting: 1,
      oldest: holdUntil,
    });
    await harness.prune();
  });

  it('is counted no further than it has to be', async () => {
    const { db, source } = harness;
    const sessions = await createSessions(db, source, 'user', 6);
    for (const id of sessions.slice(0, 3)) await erase(harness, source, id);
    for (const id of sessions.slice(3)) {
      const eraseAfter = new Date(Date.now() + hour);
      await retain(harness, source, id, { eraseAfter, hold: undefined });
    }
    const soon = new Date(Date.now() + 2 * hour);
    expect((await read(db, waitingErasuresCount(2))).waiting).to.equal(2);
    expect((await read(db, waitingErasuresCount())).waiting).to.equal(3);
    // The session of the test before, which is on hold, is one of the three.
    expect((await read(db, dueSessionsCount(soon, 3))).waiting).to.equal(2);
  });
});
