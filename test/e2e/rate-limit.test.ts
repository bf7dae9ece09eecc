import { expect } from 'chai';
import { createApiKey } from '../../src/store/accounts';
import { endings, failureOf } from '../support/client';
import { createTenant } from '../support/fixtures';
import { pause } from '../support/helpers';
import { startHarness, type Harness } from '../support/service';

describe('the rate limit', () => {
  let harness: Harness;
  afterEach(() => harness.stop());

  /** Asks for some imports at once, each with a request that gets no further than being read. */
  function ask(apiKey: string, calls: number): Promise<string[]> {
    const empty = Array.from({ length: calls }, () => harness.client.import(apiKey, {}));
    return endings(empty);
  }

  const count = (results: readonly string[], result: string): number =>
    results.filter((each) => each === result).length;

  it('is off unless it is set', async () => {
    harness = await startHarness();
    const results = await ask(harness.target.apiKey, 200);
    expect(count(results, 'INVALID_REQUEST')).to.equal(200);
  });

  it('lets through a burst, refuses what is more, and says when there is room again', async () => {
    harness = await startHarness({ environment: { RATE_LIMIT: '1', RATE_LIMIT_BURST: '5' } });
    const { client, target } = harness;
    const results = await ask(target.apiKey, 8);
    // A token may have come in while the calls were made.
    expect(count(results, 'INVALID_REQUEST')).to.be.within(5, 6);
    expect(count(results, 'RATE_LIMITED')).to.be.within(2, 3);

    const refused = await failureOf(client.import(target.apiKey, {}));
    expect(refused).to.include({ code: 'RESOURCE_EXHAUSTED', reason: 'RATE_LIMITED' });
    const { seconds = 0, nanos = 0 } = refused.retry?.retryDelay ?? {};
    const wait = seconds * 1_000 + nanos / 1_000_000;
    expect(wait).to.be.within(1, 1_000);
    await pause(wait + 20);
    expect((await failureOf(client.import(target.apiKey, {}))).reason).to.equal('INVALID_REQUEST');
  });

  it('counts the calls of a key without the privilege, so that they can not fill the records', async () => {
    harness = await startHarness({ environment: { RATE_LIMIT: '1', RATE_LIMIT_BURST: '3' } });
    const { apiKey } = await createApiKey(harness.db, {
      applicationId: harness.target.applicationId,
      name: 'reader',
      privileges: ['read:sessions'],
      expiresAt: null,
    });
    const results = await ask(apiKey, 10);
    expect(count(results, 'PRIVILEGE_MISSING')).to.be.within(3, 4);
    expect(count(results, 'RATE_LIMITED')).to.be.within(6, 7);
  });

  it('is each application’s own', async () => {
    harness = await startHarness({ environment: { RATE_LIMIT: '1', RATE_LIMIT_BURST: '2' } });
    const other = await createTenant(harness.db);
    await ask(harness.target.apiKey, 10);
    expect(count(await ask(other.apiKey, 2), 'INVALID_REQUEST')).to.equal(2);
  });
});
