import { expect } from 'chai';
import { quickEvents } from '../support/events';
import { eventually } from '../support/helpers';
import { reading, scrape, sumOf } from '../support/metrics';
import { openRelayStage, shareTimes, type RelayStage } from '../support/relay';
import { startHarness, type Harness } from '../support/service';

describe('the metrics of a relay', () => {
  let harness: Harness;
  let stage: RelayStage;
  before(async () => {
    harness = await startHarness({ environment: quickEvents });
    stage = await openRelayStage(harness);
  });
  after(async () => {
    await stage.setup.close();
    await harness.stop();
  });

  it('tell which peer fails and for how long, and how far events were delivered', async () => {
    const { setup, source } = stage;
    const { receiver } = setup;
    receiver.answer = () => ({ status: 500 });
    await setup.write('api-key', 'sik_of_nobody\n');
    const relay = setup.run('--metrics-address', '127.0.0.1:0');
    const port = Number((await relay.logged('watched'))['port']);
    const fails = (peer: string) =>
      eventually(
        async () => sumOf(await scrape(port), 'session_import_relay_failing_seconds', { peer }) > 0,
      );
    const works = (peer: string) =>
      reading(port, 'session_import_relay_failing_seconds', { peer }, 0);
    const probe = async (path: string) => (await fetch(`http://127.0.0.1:${port}/${path}`)).status;

    await fails('service');
    await works('receiver');
    expect([await probe('livez'), await probe('readyz')]).to.deep.equal([200, 503]);

    // Share tokens are made at whole seconds.
    const began = Math.floor(Date.now() / 1_000) * 1_000;
    await shareTimes(stage, 2);
    await setup.write('api-key', `${source.apiKey}\n`);
    await fails('receiver');
    await works('service');
    expect(await probe('readyz')).to.equal(503);

    receiver.answer = () => ({ status: 200 });
    await reading(port, 'session_import_relay_sequence', {}, 2);
    await works('receiver');
    expect(await probe('readyz')).to.equal(200);
    const delay = sumOf(await scrape(port), 'session_import_relay_delay_seconds');
    expect(delay)
      .to.be.greaterThan(0)
      .and.at.most((Date.now() - began) / 1_000);
    expect(await relay.stop()).to.equal(0);
  });

  it('begin with the cursor, before anything is delivered', async () => {
    await stage.setup.write('cursor', '{"after":7}');
    const relay = stage.setup.start();
    await relay.logged('relaying');
    expect((await relay.metrics.expose()).text).to.include('session_import_relay_sequence 7\n');
  });

  it('are not served on an address that can not be listened on: the relay says so, and ends', async () => {
    const { setup } = stage;
    const address = `127.0.0.1:${setup.receiver.port}`;
    const relay = setup.run('--metrics-address', address);
    expect(await relay.ended()).to.equal(1);
    expect(relay.errors).to.include(`can not listen on --metrics-address ${address}`);
  });
});
