import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect } from 'chai';
import { Gauge } from 'prom-client';
import { ExposedMetrics } from '../../src/metrics/exposed';
import { MetricsServer } from '../../src/metrics/http';

/** Counts how often it is made. */
class CountedMetrics extends ExposedMetrics {
  made = 0;

  constructor() {
    super();
    const count = (): number => ++this.made;
    const gauge = new Gauge({
      name: 'session_import_made',
      help: 'How often this was made.',
      registers: this.registers,
      collect() {
        this.set(count());
      },
    });
    gauge.set(0);
  }
}

describe('the port for monitoring', () => {
  let metrics: CountedMetrics;
  let server: MetricsServer;
  const sockets: Socket[] = [];
  beforeEach(async () => {
    metrics = new CountedMetrics();
    const address = { address: '127.0.0.1:0', option: 'the test' };
    server = await MetricsServer.start(address, metrics, () => true);
  });
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
    server.close();
  });

  async function connected(): Promise<Socket> {
    const socket = connect({ port: server.port, host: '127.0.0.1' });
    sockets.push(socket.on('error', () => undefined));
    await once(socket, 'connect');
    return socket;
  }

  const ask = async (path: string): Promise<Response> =>
    fetch(`http://127.0.0.1:${server.port}${path}`);

  it('makes the metrics once for all who ask at the same time', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask('/metrics')));
    for (const answer of answers) expect(await answer.text()).to.include('session_import_made');
    expect(metrics.made).to.be.within(1, 10);
    const before = metrics.made;
    await (await ask('/metrics')).text();
    expect(metrics.made).to.equal(before + 1);
  });

  it('answers one request of a connection, however many come at once', async () => {
    const socket = await connected();
    socket.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(1_000));
    let heard = '';
    socket.on('data', (chunk: Buffer) => (heard += chunk.toString()));
    await once(socket, 'close');
    expect(heard.match(/HTTP\/1.1 200/g)).to.have.length(1);
    expect(heard.toLowerCase()).to.include('connection: close');
    expect(metrics.made).to.equal(1);
  });

  it('closes the oldest connection for a new one when there are too many', async () => {
    const first = await connected();
    const others: Socket[] = [];
    for (let count = 0; count < 99; count++) others.push(await connected());
    const closed = once(first.resume(), 'close');
    expect((await ask('/readyz')).status).to.equal(200);
    await closed;
    expect(others.filter(({ destroyed }) => destroyed)).to.deep.equal([]);
  });
});
