import { expect } from 'chai';
import * as fc from 'fast-check';
import { createSigner, type Signer } from '../support/fixtures';
import { HealthClient } from '../support/health';
import {
  call,
  endHeaders,
  endStream,
  entry,
  frame,
  frames,
  goaway,
  Http2Peer,
  uint32,
} from '../support/http2-peer';
import { serviceUrl } from '../support/mysql';
import { ServiceProcess } from '../support/process';

const health = '/grpc.health.v1.Health/Check';

/** The streams that frames are about. */
const stream = fc.integer({ min: 0, max: 7 }).map((index) => 1 + 2 * index);
const flags = fc.constantFrom(0, endStream, endHeaders, endStream | endHeaders);
/** An error (RFC 9113, section 7), and mostly that there is none. */
const code = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 13 }));
const bytes = fc.uint8Array({ maxLength: 50 });

/**
 * Calls. Most have the stream identifier of their place among the frames, some any. A call may end with its headers, and
 * its `content-length` may be wrong.
 */
const calls = fc
  .record({
    path: fc.constantFrom(health, '/there.is.no/Method'),
    length: fc.option(fc.nat(100)),
    id: fc.oneof(
      { weight: 9, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: stream },
    ),
    ended: fc.boolean(),
  })
  .map(({ path, length, id, ended }) => (place: number) => {
    const more = length === null ? [] : [entry('content-length', String(length))];
    const begun = call(id ?? 1 + 2 * place, path, ...more);
    if (ended) begun.writeUInt8(endStream | endHeaders, 4);
    return begun;
  });

const anyGoaway = fc.record({ last: fc.nat(20), code }).map(goaway);

const others = fc
  .oneof(
    { weight: 5, arbitrary: anyGoaway },
    fc.tuple(flags, stream, bytes).map(([flag, id, data]) => frame(frames.data, flag, id, data)),
    fc
      .tuple(flags, stream, fc.nat())
      .map(([flag, id, value]) =>
        frame(frames.headers, flag, id, entry('x-trailer', String(value))),
      ),
    fc.tuple(stream, code).map(([id, error]) => frame(frames.reset, 0, id, uint32(error))),
    fc
      .tuple(fc.nat(15), fc.nat(2 ** 20))
      .map(([id, by]) => frame(frames.windowUpdate, 0, id, uint32(by))),
    fc
      .tuple(fc.nat(8), fc.nat(2 ** 24))
      .map(([name, value]) =>
        frame(frames.settings, 0, 0, Buffer.concat([Buffer.from([0, name]), uint32(value)])),
      ),
    stream.map((id) => frame(frames.priority, 0, id, Buffer.alloc(5))),
    bytes.map((data) => Buffer.from(data)),
  )
  .map((written) => () => written);

/** What a connection sends at once. */
const anyFrames = fc
  .array(fc.oneof({ weight: 2, arbitrary: calls }, { weight: 1, arbitrary: others }), {
    minLength: 1,
    maxLength: 12,
  })
  .map((list) => Buffer.concat(list.map((written, place) => written(place))));

/** Calls after the peer has said that it makes none any more. */
const callsAfterGoaway = fc
  .array(calls, { minLength: 1, maxLength: 4 })
  .map((list) => Buffer.concat([goaway(), ...list.map((written, place) => written(place))]));

/** What a connection sends, each part at once. */
const kinds: Readonly<Record<string, fc.Arbitrary<readonly Buffer[]>>> = {
  'any frames': fc.tuple(anyFrames),
  'any frames in two parts': fc.tuple(anyFrames, anyFrames),
  'calls after GOAWAY': fc.tuple(callsAfterGoaway),
};

describe('a service lives on, and answers others, if peers send', () => {
  let signer: Signer;
  let service: ServiceProcess;
  before(async () => {
    signer = await createSigner();
    service = await ServiceProcess.serve({
      DATABASE_URL: serviceUrl(),
      SHARE_TOKEN_JWKS: signer.jwks,
      SESSION_BASE_URL: 'https://verify.example.com/session',
      GRPC_REQUEST_TIMEOUT: '1',
    });
  });
  after(async () => {
    const code = await service.stop();
    await signer.remove();
    expect(code).to.equal(0);
  });

  for (const [name, kind] of Object.entries(kinds)) {
    it(name, async function () {
      this.timeout(30_000);
      const port = await service.port();
      const seed = Math.trunc(Math.random() * 2 ** 31);
      const connections = fc.sample(kind, { numRuns: 2_000, seed });
      const play = async (): Promise<void> => {
        const correct = await Http2Peer.connect(port);
        for (let next = connections.pop(); next; next = connections.pop()) {
          const peer = await Http2Peer.connect(port);
          for (const part of next) {
            peer.send(part);
            // A ping on the correct connection is answered: the service runs, and has most probably read this part.
            await correct.read();
          }
          peer.destroy();
        }
        correct.destroy();
      };
      const died = service.ended().then(() => {
        throw new Error(`with the seed ${seed}, the service has ended: ${service.errors}`);
      });
      await Promise.race([died, Promise.all(Array.from({ length: 20 }, play))]);
      died.catch(() => undefined);
      const client = new HealthClient(port);
      expect(await client.check('')).to.equal('SERVING');
      client.close();
    });
  }
});
