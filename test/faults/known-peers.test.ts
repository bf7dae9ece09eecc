import { once } from 'node:events';
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2';
import { status, type sendUnaryData, type ServerUnaryCall } from '@grpc/grpc-js';
import { expect } from 'chai';
import type { CutOff } from '../../src/rpc/server/observer';
import { startTestServer } from '../support/grpc-server';
import {
  callHeaders,
  call,
  connected,
  endStream,
  entry,
  frame,
  frames,
  Http2Peer,
} from '../support/http2-peer';
import { startHarness, type Harness } from '../support/service';
import { Signal } from '../support/signal';

const watch = '/grpc.health.v1.Health/Watch';
const check = '/grpc.health.v1.Health/Check';
const list = '/sessionimport.v1.SessionImport/ListWorkflows';
/** An empty message as gRPC puts it on the wire. */
const message = Buffer.alloc(5);
const ok: number = status.OK;

function request(
  session: ClientHttp2Session,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  body = message,
): ClientHttp2Stream {
  const stream = session.request(callHeaders(path, headers));
  stream.on('error', () => undefined).resume();
  stream.end(body);
  return stream;
}

async function statusOf(stream: ClientHttp2Stream): Promise<number> {
  let told: unknown;
  const note = (headers: IncomingHttpHeaders): void => {
    told ??= headers['grpc-status'];
  };
  stream.on('response', note).on('trailers', note);
  // Not by `once`: that it was reset is an error for it.
  await new Promise((resolve) => stream.once('close', resolve));
  return Number(told);
}

describe('a peer that has made a call with a valid API key', () => {
  let harness: Harness;
  const peers: { destroy(): void }[] = [];
  // Each test has a service of its own: connections of the test before that are still open would count.
  beforeEach(async function () {
    // Elsewhere, all peers have one address.
    if (process.platform !== 'linux') this.skip();
    harness = await startHarness({ environment: { GRPC_MAX_CONNECTIONS: '10' } });
  });
  afterEach(async () => {
    for (const peer of peers.splice(0)) peer.destroy();
    await harness.stop();
  });

  const opened = <Peer extends { destroy(): void }>(peer: Peer): Peer => {
    peers.push(peer);
    return peer;
  };

  /** Has made such a call, and has one that goes on. */
  async function known(address: string): Promise<ClientHttp2Session> {
    const session = opened(await connected(harness.server.port, address));
    const headers = { 'x-api-key': harness.target.apiKey };
    expect(await statusOf(request(session, list, headers))).to.equal(ok);
    await once(request(session, watch), 'response');
    return session;
  }

  const stranger = async (address: string): Promise<Http2Peer> =>
    opened(await Http2Peer.connect(harness.server.port, address));

  /** Tells, as long as it is served. */
  const isServed = async (session: ClientHttp2Session): Promise<boolean> =>
    !session.destroyed && (await statusOf(request(session, check))) === ok;

  it('keeps its connections with calls, however many strangers connect', async () => {
    const gateway = [await known('127.0.9.1'), await known('127.0.9.1'), await known('127.0.9.1')];
    const silent: Http2Peer[] = [];
    for (let count = 0; count < 30; count++) silent.push(await stranger(`127.0.10.${count + 1}`));
    await silent.at(-1)?.read();
    // There is also room for more of its connections.
    gateway.push(await known('127.0.9.1'));
    for (const session of gateway) expect(await isServed(session)).to.equal(true);
    for (const peer of silent) peer.destroy();

    const watching: Http2Peer[] = [];
    for (let count = 0; count < 30; count++) {
      const peer = await stranger(`127.0.11.${count + 1}`);
      peer.send(call(1, watch), frame(frames.data, endStream, 1, message));
      watching.push(peer);
    }
    await watching[0]?.read();
    for (const session of gateway) expect(await isServed(session)).to.equal(true);
  });

  it('is not cut off for what strangers cost, though its address costs more than each of theirs', async () => {
    const gateway = await known('127.0.9.2');
    const held = (index: number): ClientHttp2Stream => {
      const stream = gateway.request({
        ':method': 'POST',
        ':path': list,
        'content-type': 'application/grpc',
        'x-large': String(index).padStart(60_000, '\\'),
      });
      stream.on('error', () => undefined);
      return stream;
    };
    for (let index = 0; index < 160; index++) held(index);
    expect(await isServed(gateway)).to.equal(true);
    const strangers: Http2Peer[] = [];
    for (let count = 0; count < 8; count++) {
      const peer = await stranger(`127.0.12.${count + 1}`);
      strangers.push(peer);
      for (let index = 0; index < 130; index++) {
        peer.send(call(2 * index + 1, list, entry('x-large', '\\'.repeat(60_000))));
      }
    }
    await Promise.race(strangers.map((peer) => peer.cutOff()));
    expect(await isServed(gateway)).to.equal(true);
  });

  it('may send ten times as many calls that are too large, so that one tenant of a gateway takes nothing from the others', async () => {
    const gateway = await known('127.0.9.3');
    // One message. Zeros alone would be 14,000 empty ones, and the call would be refused for their number.
    const large = Buffer.alloc(70_000);
    large.writeUInt32BE(large.length - message.length, 1);
    const tooLarge = async (): Promise<void> => {
      const stream = request(gateway, list, {}, large);
      await new Promise((resolve) => stream.once('close', resolve));
    };
    for (let count = 0; count < 200; count++) await tooLarge();
    expect(await isServed(gateway)).to.equal(true);
    while (!gateway.destroyed) await tooLarge();
  });
});

describe('calls of known peers and of strangers that wait', () => {
  it('have connections of strangers cut off when more than 8,000 wait', async function () {
    if (process.platform !== 'linux') this.skip();
    this.timeout(30_000);
    const cut: CutOff[] = [];
    const cutting = new Signal();
    const echo = (_call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>): void => {
      answer(null, Buffer.alloc(0));
    };
    const server = await startTestServer(
      { '/test/Echo': echo },
      {
        cut: (reason) => {
          cut.push(reason);
          cutting.fire();
        },
      },
    );
    const gateway = await connected(server.port, '127.0.13.1');
    const { localAddress, localPort } = gateway.socket;
    server.known.add(`${localAddress}:${localPort}`);
    const strangers = await Promise.all(
      Array.from({ length: 80 }, (_, index) => connected(server.port, `127.0.14.${index + 1}`)),
    );
    const own = Array.from({ length: 200 }, () => statusOf(request(gateway, '/test/Echo')));
    for (const session of strangers) {
      for (let count = 0; count < 150; count++) request(session, '/test/Echo');
    }
    await cutting.until(() => cut.length > 0);
    expect(new Set(await Promise.all(own))).to.deep.equal(new Set([ok]));
    expect(new Set(cut)).to.deep.equal(new Set(['waiting_calls']));
    for (const session of [gateway, ...strangers]) session.destroy();
    server.stop();
  });
});
