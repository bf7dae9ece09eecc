import { expect } from 'chai';
import { endings, TestClient } from '../support/client';
import { createTenant } from '../support/fixtures';
import { eventually } from '../support/helpers';
import { startProxiedHarness, type ProxiedHarness } from '../support/service';

describe('API keys that nobody has', () => {
  let harness: ProxiedHarness;
  const strangers: TestClient[] = [];
  beforeEach(async () => {
    harness = await startProxiedHarness();
  });
  afterEach(async () => {
    for (const stranger of strangers.splice(0)) stranger.close();
    await harness.stop();
  });

  /** A client with a connection of its own. */
  function stranger(): TestClient {
    const options = { 'grpc.use_local_subchannel_pool': 1 };
    const client = new TestClient(harness.server.port, undefined, options);
    strangers.push(client);
    return client;
  }

  it('hold up neither a caller with a valid key nor the probes, however many they are', async () => {
    const { proxy, db, server } = harness;
    const { apiKey } = await createTenant(db);
    const lookUps: string[] = [];
    const first = proxy.holdBack('api_keys');
    const { intercept } = proxy;
    proxy.intercept = (statement) => {
      if (statement.sql.includes('api_keys')) lookUps.push(statement.sql);
      return intercept?.(statement);
    };
    const floods = [stranger(), stranger(), stranger()].flatMap((flood, each) =>
      Array.from({ length: 450 }, (_, index) => flood.import(`made-up-${each}-${index}`, {})),
    );
    const refused = endings(floods);
    await first.came;
    // Refused, since the line is full.
    await Promise.race(floods).catch(() => undefined);
    const valid = endings([stranger().import(apiKey, {})]);
    await eventually(async () => {
      const { status } = await fetch(`http://127.0.0.1:${server.metricsPort ?? 0}/readyz`);
      return status === 200;
    });
    first.letGo();
    expect(await valid).to.deep.equal(['INVALID_REQUEST']);
    const reasons = await refused;
    expect(new Set(reasons)).to.deep.equal(new Set(['API_KEY_INVALID', 'OVERLOADED']));
    // What is not found is looked up once more, behind the proof that the server takes writes.
    expect(lookUps.length).to.be.at.most(2 * 25);
  });

  it('are looked up once in a while, however often they come', async () => {
    const { proxy, client } = harness;
    let lookUps = 0;
    proxy.intercept = ({ sql }) => {
      if (sql.includes('api_keys')) lookUps++;
    };
    for (let i = 0; i < 5; i++) {
      expect(await endings([client.import('made-up', {})])).to.deep.equal(['API_KEY_INVALID']);
    }
    // The second one is behind the proof that the server takes writes.
    expect(lookUps).to.equal(2);
  });
});
