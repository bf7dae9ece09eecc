import { expect } from 'chai';
import { createCompany, requestWithLinked } from '../support/companies';
import { listEvents, numberAll, typesOf } from '../support/events';
import { rowLockWaits } from '../support/rows';
import { startProxiedHarness, type ProxiedHarness } from '../support/service';
import { withdraw } from '../support/withdrawals';

describe('a withdrawal', () => {
  let harness: ProxiedHarness;
  beforeEach(async () => {
    harness = await startProxiedHarness();
  });
  afterEach(() => harness.stop());

  it('that waits for an import comes behind it in the feed', async () => {
    const { proxy, source } = harness;
    const company = await createCompany(harness.db, source, []);
    // The import has locked the company, and looks for linked sessions.
    const held = proxy.holdBack('FROM business_key_people');
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
});
