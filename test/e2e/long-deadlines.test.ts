import { once } from 'node:events';
import type { IncomingHttpHeaders } from 'node:http';
import { status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { scrape, sumOf } from '../support/metrics';
import { frameOf, RawHttp2 } from '../support/raw-http2';
import { startHarness } from '../support/service';

const watch = '/grpc.health.v1.Health/Watch';

describe('a deadline', () => {
  it('that is further away than 24 days does not end the call at once', async () => {
    const harness = await startHarness();
    const raw = new RawHttp2(harness.server.port);
    const begin = (timeout: string) => {
      const stream = raw.open(watch, { 'grpc-timeout': timeout });
      stream.end(frameOf(Buffer.alloc(0)));
      return stream;
    };
    // In milliseconds: 2^31, 2^31 + 1 h, 2^32 - 1 s, 8 digits of the largest unit.
    const long = ['2147484S', '597H', '4294966S', '99999999H'].map(begin);
    // Timers fire in the order of their times, so those of the others would have fired before.
    const short = begin('5m');
    // In the header if it is over before the call begins.
    let code: unknown;
    for (const event of ['response', 'trailers']) {
      short.on(event, (metadata: IncomingHttpHeaders) => (code ??= metadata['grpc-status']));
    }
    await once(short, 'close');
    expect(Number(code)).to.equal(status.DEADLINE_EXCEEDED);
    expect(long.map(({ closed }) => closed)).to.deep.equal([false, false, false, false]);
    const ended = sumOf(await scrape(harness.server.metricsPort), 'grpc_server_handled_total');
    expect(ended).to.equal(1);
    raw.close();
    await harness.stop();
  });
});
