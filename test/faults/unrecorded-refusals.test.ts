import { expect } from 'chai';
import { toBinary } from '../../src/model/ids';
import { endings, failureOf } from '../support/client';
import { createSession } from '../support/fixtures';
import { scrape, sumOf } from '../support/metrics';
import { refusalsOf, refusedCalls } from '../support/refused';
import { startProxiedHarness, type Harness, type ProxiedHarness } from '../support/service';

describe('a call to import that nothing was decided about is not recorded', () => {
  it('if the service or the database had no room for it, or failed, or the caller went away', async () => {
    const harness = await startProxiedHarness({
      DATABASE_LOCK_WAIT: '1',
      IMPORT_WORKERS: '1',
      IMPORT_QUEUE_LIMIT: '2',
    });
    const { db, source, target, signer, client, proxy } = harness;
    const original = await createSession(db, source, 'user');
    const request = {
      shareToken: await signer.share(source, target, 'user', original),
      workflowId: target.workflows.user,
    };
    const call = (options = {}) => client.import(target.apiKey, request, options);

    const abort = new AbortController();
    const queued = await db.transaction(async (writer) => {
      await writer('user_sessions')
        .where({ id: toBinary(original) })
        .forUpdate();
      const begun = proxy.passing('LOCK IN SHARE MODE');
      const first = call();
      await begun;
      const second = call({ signal: abort.signal });
      await harness.queued(1);
      const more = Array.from({ length: 5 }, () => call());
      const calls = endings([first, second, ...more]);
      // All others wait for the session: the first that ends found no room.
      await Promise.race(more.map((one) => one.catch(() => undefined)));
      abort.abort();
      return await calls;
    });
    expect(new Set(queued)).to.deep.equal(new Set(['CONFLICT', 'CANCELLED', 'OVERLOADED']));

    proxy.intercept = (statement) => {
      if (statement.sql.startsWith('BEGIN')) statement.cut();
    };
    expect(await endings([call()])).to.deep.equal(['DATABASE_UNAVAILABLE']);
    proxy.intercept = undefined;

    await db.schema.renameTable('user_reviews', 'user_reviews_away');
    expect(await endings([call()])).to.deep.equal(['INTERNAL']);
    await db.schema.renameTable('user_reviews_away', 'user_reviews');

    expect(await refusalsOf(target)).to.deep.equal([]);
    await harness.stop();
  });
});

describe('a refused import that can not be recorded', () => {
  let harness: ProxiedHarness;
  beforeEach(async () => {
    harness = await startProxiedHarness();
  });
  afterEach(() => harness.stop());

  const cutOff = (times = Number.POSITIVE_INFINITY): void => {
    let left = times;
    harness.proxy.intercept = (statement) => {
      if (statement.sql.includes('import_refusals') && left-- > 0) statement.cut();
    };
  };

  const lostBy = async ({ server }: Harness): Promise<number> =>
    sumOf(await scrape(server.metricsPort), 'session_import_refusals_lost_total');

  /** What the log says that was lost, in all its lines together. */
  const complaints = (): number[] =>
    harness.logLines
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ msg }) => msg === 'could not record refused imports')
      .map(({ refusals }) => Number(refusals));

  it('is tried again for a while, and its caller is told when it is on record', async () => {
    const { client, target } = harness;
    cutOff(5);
    const calls = Array.from({ length: 41 }, () => client.import(target.apiKey, {}));
    expect(new Set(await endings(calls))).to.deep.equal(new Set(['INVALID_REQUEST']));
    expect(await refusalsOf(target)).to.have.length(41);
    expect(await lostBy(harness)).to.equal(0);
    expect(complaints()).to.deep.equal([]);
  });

  it('is not told, whatever was wrong, is counted, and is told and recorded later', async () => {
    const { atTheDoor, inTheGroup } = await refusedCalls(harness);
    const refused = [...atTheDoor, ...inTheGroup]
      .filter(({ reason }) => reason !== 'API_KEY_INVALID')
      .flatMap((call) => [call, { ...call, request: { ...call.request, validateOnly: true } }]);
    const tell = () =>
      Promise.all(
        refused.map(({ apiKey, request }) => failureOf(harness.client.import(apiKey, request))),
      );
    const recorded = await refusalsOf(harness.target);

    cutOff();
    for (const { code, reason, metadata } of await tell()) {
      expect({ code, reason, metadata }).to.deep.equal({
        code: 'UNAVAILABLE',
        reason: 'DATABASE_UNAVAILABLE',
        metadata: {},
      });
    }
    expect(await refusalsOf(harness.target)).to.deep.equal(recorded);
    const withheld = harness.logLines.flatMap(
      (line) => (JSON.parse(line) as { unrecorded_refusal?: string }).unrecorded_refusal ?? [],
    );
    const reasons = refused.map(({ reason }) => reason);
    expect(withheld.toSorted()).to.deep.equal(reasons.toSorted());

    harness.proxy.intercept = undefined;
    expect((await tell()).map(({ reason }) => reason)).to.deep.equal(reasons);
    expect(await refusalsOf(harness.target)).to.have.length(recorded.length + refused.length);
    expect(await lostBy(harness)).to.equal(refused.length);
    // The first line at once, and the rest in one more.
    expect(complaints()).to.have.length(2);
    expect(complaints().reduce((sum, count) => sum + count)).to.equal(refused.length);
  });

  it('is told as another error if something else is in the way, and the log counts to the end', async () => {
    const { db, client, target, server } = harness;
    await db.schema.renameTable('import_refusals', 'import_refusals_away');
    for (let call = 0; call < 3; call++) {
      expect(await endings([client.import(target.apiKey, {})])).to.deep.equal(['INTERNAL']);
    }
    await db.schema.renameTable('import_refusals_away', 'import_refusals');
    expect(await lostBy(harness)).to.equal(3);
    expect(complaints()).to.deep.equal([1]);
    await server.stop();
    expect(complaints()).to.deep.equal([1, 2]);
  });
});

describe('a refused import that was recorded', () => {
  it('is recorded once, if only the answer of the database got lost', async () => {
    const harness = await startProxiedHarness();
    const { client, target, proxy } = harness;
    let again: Promise<unknown> | undefined;
    proxy.intercept = async (statement) => {
      if (again || !statement.sql.includes('import_refusals')) return;
      again = proxy.passing('import_refusals');
      await statement.answered();
      statement.cut();
    };
    expect(await endings([client.import(target.apiKey, {})])).to.deep.equal(['INVALID_REQUEST']);
    expect(again).to.be.instanceOf(Promise);
    await again;
    expect(await refusalsOf(target)).to.have.length(1);
    await harness.stop();
  });
});
