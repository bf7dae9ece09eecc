import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { readFile } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import {
  connect,
  constants,
  createServer,
  type ClientHttp2Session,
  type ServerHttp2Session,
  type Settings,
} from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import {
  status,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerUnaryCall,
} from '@grpc/grpc-js';
import { expect } from 'chai';
import { Connection, type OpenCall } from '../../src/rpc/server/connection';
import type { CutOff } from '../../src/rpc/server/observer';
import { CertificateAuthority } from '../support/certificates';
import { startTestServer, type TestServer } from '../support/grpc-server';
import { eventually } from '../support/helpers';
import {
  callHeaders,
  call as callFrames,
  connected,
  frame,
  frames,
  Http2Peer,
} from '../support/http2-peer';
import { Signal } from '../support/signal';
import { tlsServer } from '../support/tls';

type Call = ServerUnaryCall<Buffer, Buffer>;

/**
 * The most calls that may be seen to begin in one turn: six (`src/rpc/server/arrivals.ts`), and one more, because turns
 * are not counted from the same moment on.
 */
const oneTurn = 7;

const path = '/test/Echo';
/** An empty message as gRPC puts it on the wire. */
const message = Buffer.alloc(5);

const echo = (_call: Call, answer: sendUnaryData<Buffer>): void => {
  answer(null, Buffer.alloc(0));
};

/** How a call ended: its gRPC status, or the code that its stream was reset with. */
type End = { readonly status: number } | { readonly reset: number };

interface Calling {
  readonly headers?: Readonly<Record<string, string>>;
  readonly sent?: Buffer;
  /** Takes the call back in the next turn of the event loop. */
  readonly takesBack?: boolean;
}

async function call(session: ClientHttp2Session, how: Calling = {}): Promise<End> {
  const stream = session.request(callHeaders(path, how.headers));
  let told: unknown;
  const note = (headers: IncomingHttpHeaders): void => {
    told ??= headers['grpc-status'];
  };
  stream.on('response', note).on('trailers', note);
  const closed = new Promise((resolve) => stream.once('close', resolve));
  stream.on('error', () => undefined).resume();
  stream.end(how.sent ?? message);
  if (how.takesBack) {
    setImmediate(() => {
      stream.close(constants.NGHTTP2_CANCEL);
    });
  }
  await closed;
  return told === undefined ? { reset: stream.rstCode } : { status: Number(told) };
}

const many = (session: ClientHttp2Session, count: number, how?: Calling): Promise<End[]> =>
  Promise.all(Array.from({ length: count }, () => call(session, how)));

/** How many calls have begun in each turn of the event loop. */
class Turns {
  most = 0;
  private begun = 0;
  private counting = true;

  constructor() {
    const next = (): void => {
      this.most = Math.max(this.most, this.begun);
      this.begun = 0;
      if (this.counting) setImmediate(next);
    };
    setImmediate(next);
  }

  readonly add = (): void => {
    this.begun++;
  };

  end(): void {
    this.counting = false;
  }
}

/** Calls that end in different ways: most of them before a handler could see them. */
const floods: readonly (Calling & { readonly name: string; readonly ends: readonly End[] })[] = [
  { name: 'are answered', ends: [{ status: status.OK }] },
  {
    name: 'have a deadline of a millisecond',
    headers: { 'grpc-timeout': '1m' },
    ends: [{ status: status.DEADLINE_EXCEEDED }, { status: status.OK }],
  },
  {
    name: 'have a deadline of a nanosecond',
    headers: { 'grpc-timeout': '1n' },
    ends: [{ status: status.DEADLINE_EXCEEDED }],
  },
  {
    name: 'have a deadline that can not be read',
    headers: { 'grpc-timeout': 'soon' },
    ends: [{ status: status.INVALID_ARGUMENT }],
  },
  {
    name: 'are of a method that does not exist',
    headers: { ':path': '/test/Nothing' },
    ends: [{ status: status.UNIMPLEMENTED }],
  },
  {
    name: 'are no gRPC calls',
    headers: { 'content-type': 'text/html' },
    ends: [{ reset: constants.NGHTTP2_NO_ERROR }],
  },
  {
    name: 'end without a message',
    sent: Buffer.alloc(0),
    ends: [{ status: status.INVALID_ARGUMENT }],
  },
  {
    name: 'have a message in an unknown compression',
    headers: { 'grpc-encoding': 'lzma' },
    sent: Buffer.from([1, 0, 0, 0, 1, 0]),
    ends: [{ status: status.UNIMPLEMENTED }],
  },
  {
    name: 'have a message that is too large',
    sent: Buffer.from([0, 255, 0, 0, 0]),
    ends: [{ status: status.RESOURCE_EXHAUSTED }],
  },
];

describe('calls that arrive together', () => {
  let server: TestServer | undefined;
  const sessions: ClientHttp2Session[] = [];
  const opened = async (port: number, address?: string): Promise<ClientHttp2Session> => {
    const session = await connected(port, address);
    sessions.push(session);
    return session;
  };
  afterEach(() => {
    for (const session of sessions.splice(0)) session.destroy();
    server?.stop();
  });

  for (const { name, ends, ...how } of floods) {
    it(`begin in turns if they ${name}`, async () => {
      const turns = new Turns();
      server = await startTestServer({ [path]: echo }, { begun: turns.add });
      const { port } = server;
      const clients = await Promise.all(Array.from({ length: 5 }, () => opened(port)));
      const ended = await Promise.all(clients.map((session) => many(session, 60, how)));
      turns.end();
      expect(turns.most).to.be.within(1, oneTurn);
      expect(ended.flat()).to.have.length(300);
      for (const end of ended.flat()) expect(ends).to.deep.include(end);
    });
  }

  for (const { name, ends, ...how } of floods) {
    it(`are not reset if their client has as many as it may, and they ${name}`, async () => {
      server = await startTestServer({ [path]: echo }, { limits: { maxConcurrentStreams: 20 } });
      const ended = await many(await opened(server.port), 200, how);
      for (const end of ended) expect(ends).to.deep.include(end);
    });
  }

  it('do not wait for those of strangers if they come from known peers', async () => {
    const begun: string[] = [];
    server = await startTestServer({ [path]: echo }, { begun: (of) => begun.push(of) });
    const { port, known, arrivals } = server;
    const strangers = await Promise.all(Array.from({ length: 50 }, () => opened(port)));
    const peer = await opened(port);
    known.add(`127.0.0.1:${peer.socket.localPort}`);
    const flood = Promise.all(strangers.map((session) => many(session, 20)));
    while (arrivals.waiting < 500) await turn();
    const before = begun.length;
    await call(peer);
    // One in each turn of the event loop. If they waited in the same queue, a call of each of the fifty would come first.
    expect(begun.length - before).to.be.below(30);
    await flood;
  });

  it('take no turn if they are taken back before', async () => {
    const begun: string[] = [];
    server = await startTestServer({ [path]: echo }, { begun: (of) => begun.push(of) });
    const session = await opened(server.port);
    // Fewer than a connection may take back at once.
    await many(session, 90, { takesBack: true });
    await call(session);
    expect(begun).to.have.length.below(90);
    expect(server.arrivals.waiting).to.equal(0);
    await server.arrivals.ended();
  });

  it('count their timeout from when they arrived', async () => {
    const seen: { readonly at: number; readonly deadline: number }[] = [];
    server = await startTestServer({
      [path]: (received: Call, answer: sendUnaryData<Buffer>) => {
        seen.push({ at: Date.now(), deadline: Number(received.getDeadline()) });
        // So that the others wait for some time.
        const end = performance.now() + 1;
        while (performance.now() < end);
        echo(received, answer);
      },
    });
    const session = await opened(server.port);
    await many(session, 100, { headers: { 'grpc-timeout': '10S' } });
    const [first, last] = [seen.at(0), seen.at(-1)];
    if (!first || !last) throw new Error('no call has begun');
    expect(last.at - first.at).to.be.above(50);
    expect(last.deadline - first.deadline).to.be.below((last.at - first.at) / 2);
  });

  it('count as running while they wait, so that a stop does not cut them off', async () => {
    server = await startTestServer({ [path]: echo });
    const { arrivals, port } = server;
    const session = await opened(port);
    const ended = many(session, 200);
    await new Promise<void>((resolve) => {
      const look = (): void => {
        if (arrivals.waiting > 0) resolve();
        else setImmediate(look);
      };
      look();
    });
    await arrivals.ended();
    expect(arrivals.waiting).to.equal(0);
    for (const end of await ended) expect(end).to.deep.equal({ status: status.OK });
  });

  it('have connections with the most of them cut off while more than 8,000 wait, and no others', async function () {
    // Elsewhere, there is only one local address, and its connections get fewer calls.
    if (process.platform !== 'linux') this.skip();
    this.timeout(30_000);
    const cut: CutOff[] = [];
    server = await startTestServer({ [path]: echo }, { cut: (reason) => cut.push(reason) });
    const { port } = server;
    const clients = await Promise.all(
      Array.from({ length: 60 }, (_, index) => opened(port, `127.0.5.${index + 1}`)),
    );
    const other = await opened(port, '127.0.6.1');
    const flood = clients.map((session) => many(session, 200));
    const [answered, ...ended] = await Promise.all([call(other), ...flood]);
    expect(answered).to.deep.equal({ status: status.OK });
    expect(cut).to.have.length.within(1, 25);
    expect(new Set(cut)).to.deep.equal(new Set(['waiting_calls']));
    const lost = ended.filter((ends) => ends.some((end) => 'reset' in end));
    expect(lost).to.have.length(cut.length);
  });
});

describe('the requests of streams', () => {
  it('are answered in turns, also if all of them come at once', async () => {
    const turns = new Turns();
    let answered = 0;
    const server = await startTestServer(
      {},
      {
        streams: {
          '/test/Chat': (chat: ServerDuplexStream<Buffer, Buffer>) => {
            chat.on('data', () => {
              turns.add();
              answered++;
            });
            chat.on('end', () => chat.end());
          },
        },
      },
    );
    const session = await connected(server.port);
    const sent = Buffer.concat(Array.from({ length: 50 }, () => message));
    const ended = await many(session, 10, { headers: { ':path': '/test/Chat' }, sent });
    turns.end();
    for (const end of ended) expect(end).to.deep.equal({ status: status.OK });
    expect(answered).to.equal(500);
    // The end is told of also where it is all that came while the stream waited.
    const empty = { headers: { ':path': '/test/Chat' }, sent: Buffer.alloc(0) };
    for (const end of await many(session, 60, empty)) {
      expect(end).to.deep.equal({ status: status.OK });
    }
    expect(turns.most).to.be.within(1, oneTurn);
    session.destroy();
    server.stop();
  });
});

describe('the connections of an address', () => {
  const most = ({ remoteSettings }: ClientHttp2Session): number | undefined =>
    remoteSettings.maxConcurrentStreams;

  /** Opens connections, one after the other. */
  async function open(port: number, count: number, address: string): Promise<ClientHttp2Session[]> {
    const sessions: ClientHttp2Session[] = [];
    for (let opened = 0; opened < count; opened++) sessions.push(await connected(port, address));
    return sessions;
  }

  /** Takes calls back, unless the session has ended. */
  const resets = async (session: ClientHttp2Session, count: number): Promise<void> => {
    await many(session, count, { takesBack: true }).catch(() => undefined);
    await turn();
  };

  it('may each have half as many calls as those before leave, until others have closed', async function () {
    if (process.platform !== 'linux') this.skip();
    const server = await startTestServer({ [path]: echo });
    const { port } = server;
    const crowd = await open(port, 20, '127.0.7.1');
    const few = await open(port, 2, '127.0.7.2');
    await eventually(() =>
      Promise.resolve(crowd.slice(16).every((session) => most(session) === 20)),
    );
    expect(crowd.map(most)).to.deep.equal([
      200,
      100,
      50,
      25,
      ...Array.from({ length: 16 }, () => 20),
    ]);
    expect(few.map(most)).to.deep.equal([200, 100]);
    const [last, ...others] = crowd.toReversed();
    if (!last) throw new Error('there is no connection');
    // The others wait in the client.
    const ended = await many(last, 300);
    for (const end of ended) expect(end).to.deep.equal({ status: status.OK });
    for (const session of others) session.destroy();
    await eventually(() => Promise.resolve(most(last) === 200));
    for (const session of [last, ...few]) session.destroy();
    server.stop();
  });

  it('come back with few calls after one was cut off, and have more only when they are known', async function () {
    if (process.platform !== 'linux') this.skip();
    this.timeout(20_000);
    const reasons: CutOff[] = [];
    const server = await startTestServer({ [path]: echo }, { cut: (why) => reasons.push(why) });
    const [address, other] = ['127.0.9.1', '127.0.9.2'];
    const [first] = await open(server.port, 1, address);
    if (!first) throw new Error('there is no connection');
    await resets(first, 90);
    expect(reasons).to.deep.equal([]);
    // Some are answered before they are taken back, and do not count. And the allowance grows with time.
    while (reasons.length < 1) await resets(first, 20);

    const [stranger, known] = await open(server.port, 2, address);
    const [bystander] = await open(server.port, 1, other);
    if (!stranger || !known || !bystander) throw new Error('there is no connection');
    expect([stranger, known, bystander].map(most)).to.deep.equal([20, 20, 200]);
    server.known.add(`${address}:${known.socket.localPort}`);
    // Beside the stranger's twenty, 190 are left for it.
    await eventually(() => Promise.resolve((most(known) ?? 0) >= 160));
    expect(most(stranger)).to.equal(20);
    await resets(known, 90);
    expect(reasons).to.deep.equal(['rapid_resets']);
    let taken = 0;
    for (; reasons.length < 2; taken += 30) await resets(stranger, 30);
    expect(taken).to.be.below(90);
    await eventually(() => Promise.resolve(most(known) === 200));
    expect(await call(bystander)).to.deep.equal({ status: status.OK });
    for (const session of [known, bystander]) session.destroy();
    server.stop();
  });

  it('may never have more calls than the configuration says', async function () {
    if (process.platform !== 'linux') this.skip();
    this.timeout(20_000);
    const limits = { maxConcurrentStreams: 10 };
    const reasons: CutOff[] = [];
    const cut = (why: CutOff): void => void reasons.push(why);
    const server = await startTestServer({ [path]: echo }, { limits, cut });
    const [first] = await open(server.port, 1, '127.0.9.3');
    if (!first) throw new Error('there is no connection');
    expect(most(first)).to.equal(10);
    while (reasons.length < 1) await resets(first, 10);
    const [next] = await open(server.port, 1, '127.0.9.3');
    expect(next && most(next)).to.equal(10);
    next?.destroy();
    server.stop();
  });

  it('are told so in the first settings, over TLS as well', async function () {
    if (process.platform !== 'linux') this.skip();
    const authority = await CertificateAuthority.create();
    const secure = await startTestServer({}, { credentials: await tlsServer(authority) });
    const plain = await startTestServer({});
    for (const [scheme, { port }] of Object.entries({ https: secure, http: plain })) {
      const sessions: ClientHttp2Session[] = [];
      for (let opened = 0; opened < 3; opened++) {
        const session = connect(`${scheme}://localhost:${port}`, {
          ca: await readFile(authority.file),
        });
        sessions.push(session);
        const [settings] = (await once(session, 'remoteSettings')) as [Settings];
        expect(settings.maxConcurrentStreams).to.equal([200, 100, 50][opened]);
      }
      for (const session of sessions) session.destroy();
    }
    secure.stop();
    plain.stop();
    await authority.remove();
  });

  it('may have calls besides those that stay open, however many connections there are', async function () {
    if (process.platform !== 'linux') this.skip();
    this.timeout(20_000);
    const waits: sendUnaryData<Buffer>[] = [];
    const server = await startTestServer({
      [path]: echo,
      '/test/Wait': (_call: Call, answer: sendUnaryData<Buffer>) => void waits.push(answer),
    });
    const crowd = await open(server.port, 99, '127.0.8.1');
    const [last] = await open(server.port, 1, '127.0.8.1');
    if (!last) throw new Error('there is no connection');
    await eventually(() => Promise.resolve(most(last) === 20));
    const staying = many(last, 30, { headers: { ':path': '/test/Wait' } });
    expect(await call(last)).to.deep.equal({ status: status.OK });
    await eventually(() => Promise.resolve(waits.length === 30));
    for (const answer of waits) answer(null, Buffer.alloc(0));
    await staying;
    for (const session of [last, ...crowd]) session.destroy();
    server.stop();
  });
});

/** The beginning of a message of 16 MiB that is not compressed. */
const beginning = Buffer.of(0, 1, 0, 0, 0);

describe('a call that waits', () => {
  const cut: CutOff[] = [];
  const cutting = new Signal();
  let connection: Connection | undefined;
  let waiting: OpenCall | undefined;
  let arrived = new Signal();
  // In place of `Peers`, and lets no call begin.
  const server = createServer();
  server.on('connection', (socket: Socket) => {
    const now = performance.now();
    connection = new Connection(socket, 'one', 200, now, {
      isKnown: () => false,
      takesStream: () => false,
      isPunishedStranger: () => false,
      requestBytesGrown: () => undefined,
      cutOff: (_connection, reason) => {
        cut.push(reason);
        cutting.fire();
      },
    });
  });
  server.on('session', (session: ServerHttp2Session) => connection?.begin(session));
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    waiting = connection?.callArrived(stream, headers);
    arrived.fire();
  });
  let peer: Http2Peer;
  before((done) => void server.listen(0, '127.0.0.1', done));
  beforeEach(async () => {
    arrived = new Signal();
    peer = await Http2Peer.connect((server.address() as AddressInfo).port);
    peer.send(callFrames(1, path));
    await arrived.until(() => waiting !== undefined);
  });
  afterEach(() => {
    peer.destroy();
    waiting = undefined;
    cut.length = 0;
  });
  after((done) => void server.close(done));

  it('counts the bytes of its messages, before anybody reads them', async () => {
    if (!connection || !waiting) throw new Error('there is no call');
    const before = connection.requestBytes;
    peer.send(frame(frames.data, 0, 1, Buffer.concat([beginning, Buffer.alloc(15_995)])));
    await peer.read();
    expect(connection.requestBytes - before).to.equal(16_000);
    const { stream } = waiting;
    stream.resume();
    await eventually(() => Promise.resolve(stream.readableLength === 0));
    expect(connection.requestBytes - before).to.equal(16_000);
    expect(cut).to.deep.equal([]);
  });

  it('is cut off for its small frames', async () => {
    const small = frame(frames.data, 0, 1, Buffer.alloc(1));
    const many = Array.from({ length: 2_000 }, () => small);
    peer.send(Buffer.concat([frame(frames.data, 0, 1, beginning), ...many]));
    await cutting.until(() => cut.length > 0);
    expect(cut).to.deep.equal(['small_frames']);
    await peer.cutOff();
  });
});
