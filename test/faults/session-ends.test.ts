import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect, type ClientHttp2Session } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Client, credentials, status, type sendUnaryData } from '@grpc/grpc-js';
import { expect } from 'chai';
import { isNode20 } from '../../src/rpc/server/node-20';
import type { CutOff } from '../../src/rpc/server/observer';
import { CertificateAuthority } from '../support/certificates';
import { startTestServer, type TestServer } from '../support/grpc-server';
import { eventually } from '../support/helpers';
import {
  callHeaders,
  call,
  endHeaders,
  endStream,
  entry,
  frame,
  frames,
  goaway,
  Http2Peer,
  openWindows,
  uint32,
} from '../support/http2-peer';
import { Signal } from '../support/signal';
import { tlsServer } from '../support/tls';

const path = '/test/Wait';
const same = (bytes: Buffer): Buffer => bytes;
/** An empty message as gRPC puts it on the wire. */
const message = Buffer.alloc(5);

const largeAnswer = 4 * 1024 * 1024;

describe('a connection that is closed', () => {
  const waits: sendUnaryData<Buffer>[] = [];
  const waiting = new Signal();
  let answered = 0;
  const cut: CutOff[] = [];
  let server: TestServer;

  /** @param limits of the server. */
  async function start(limits: Parameters<typeof startTestServer>[1] = {}): Promise<void> {
    server = await startTestServer(
      {
        [path]: (_call: unknown, answer: sendUnaryData<Buffer>) => {
          waits.push(answer);
          waiting.fire();
        },
        '/test/Large': (_call: unknown, answer: sendUnaryData<Buffer>) => {
          answer(null, Buffer.alloc(largeAnswer));
          answered++;
          waiting.fire();
        },
      },
      { ...limits, cut: (reason) => cut.push(reason) },
    );
  }
  afterEach(() => {
    server.stop();
    waits.length = 0;
    answered = 0;
    cut.length = 0;
  });

  const closings: Readonly<Record<string, (session: ClientHttp2Session) => void>> = {
    'by a stop of the service': () => {
      void server.drain();
    },
    'by its client': (session) => {
      session.close();
    },
  };
  for (const [name, close] of Object.entries(closings)) {
    it(`${name} is still kept alive until its calls have ended`, async () => {
      await start({ limits: { keepalive: 0.1 } });
      const session = connect(`http://127.0.0.1:${server.port}`);
      const stream = session.request(callHeaders(path));
      stream.end(message);
      const answer = once(stream, 'trailers');
      stream.resume();
      await waiting.until(() => waits.length === 1);
      const goes = name === 'by its client' ? undefined : once(session, 'goaway');
      close(session);
      await goes;
      // Each must be answered: otherwise the connection is given up.
      for (let pings = 0; pings < 3; pings++) await once(session, 'ping');
      const ended = once(session, 'close');
      waits[0]?.(null, Buffer.alloc(0));
      const [trailers] = (await answer) as [Record<string, string>];
      expect(Number(trailers['grpc-status'])).to.equal(status.OK);
      await ended;
      await eventually(async () => (await server.connections()) === 0);
    });
  }

  it('takes no more calls, and says which it has taken', async () => {
    await start();
    const client = new Client(`127.0.0.1:${server.port}`, credentials.createInsecure());
    const ask = (): Promise<status> =>
      new Promise((resolve) => {
        client.makeUnaryRequest(path, same, same, message, (error) => {
          resolve(error?.code ?? status.OK);
        });
      });
    const accepted = Array.from({ length: 10 }, ask);
    await waiting.until(() => waits.length === 10);
    void server.drain();
    const late = Array.from({ length: 10 }, ask);
    for (const code of await Promise.all(late)) expect(code).to.equal(status.UNAVAILABLE);
    expect(waits).to.have.length(10);
    for (const answer of waits) answer(null, Buffer.alloc(0));
    for (const code of await Promise.all(accepted)) expect(code).to.equal(status.OK);
    client.close();
  });

  it('by a GOAWAY with an error holds nothing that its peer does not take', async () => {
    await start();
    const peer = await Http2Peer.connect(server.port);
    await peer.read();
    for (let stream = 1; stream < 10; stream += 2) {
      peer.send(call(stream, '/test/Large'), frame(frames.data, endStream, stream, message));
    }
    peer.stopReading();
    // Nothing of it is read.
    peer.send(openWindows, goaway({ code: 1 }));
    await eventually(async () => (await server.connections()) === 0);
    expect(cut).to.deep.equal([]);
  });

  for (const name of ['by its client', 'by a stop of the service']) {
    it(`${name} still gets its answers if it takes them slowly`, async () => {
      await start();
      const peer = await Http2Peer.connect(server.port);
      await peer.read();
      peer.stopReading();
      peer.send(openWindows);
      for (let stream = 1; stream < 10; stream += 2) {
        peer.send(call(stream, '/test/Large'), frame(frames.data, endStream, stream, message));
      }
      await waiting.until(() => answered === 5);
      if (name === 'by its client') peer.send(goaway());
      else void server.drain();
      expect(await peer.readSlowly()).to.be.above(5 * largeAnswer);
      peer.destroy();
      expect(cut).to.deep.equal([]);
    });
  }

  it('by GOAWAY, and then violates HTTP/2, is cut off', async () => {
    await start();
    const peer = await Http2Peer.connect(server.port);
    peer.send(call(1, path), frame(frames.data, endStream, 1, message));
    peer.send(goaway(), frame(frames.data, 0, 0, Buffer.alloc(10)));
    await peer.cutOff();
    // Later versions of Node.js see it themselves.
    expect(cut).to.deep.equal(isNode20 ? ['protocol_error'] : []);
  });

  it('by a stop of the service is not waited for if its peer has had no call for long', async () => {
    await start();
    const peer = await Http2Peer.connect(server.port);
    await peer.read();
    peer.stopReading();
    const now = performance.now.bind(performance);
    // After its last call, a peer is waited for, for a minute.
    performance.now = () => now() + 61_000;
    await server.drain();
    performance.now = now;
    peer.destroy();
  });

  it('leaves no session in memory, whatever its peer has violated', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    await start();
    const violations: Readonly<Record<string, Buffer>> = {
      none: Buffer.alloc(0),
      'data of no stream': frame(frames.data, 0, 0, Buffer.alloc(1)),
      'half of the headers': frame(frames.headers, 0, 1, entry(':method', 'POST')),
      'a wrong header': call(1, path, entry('Not A Name', 'x')),
      'headers that can not be read': frame(frames.headers, endHeaders, 1, Buffer.alloc(8, 0xff)),
      'a ping that is too short': frame(frames.ping, 0, 0, Buffer.alloc(7)),
      'a header that is too long': call(1, path, entry('x', '\\'.repeat(70_000))),
      GOAWAY: goaway(),
      'GOAWAY with an error': Buffer.concat([call(1, path), goaway({ code: 1 })]),
    };
    // Each peer closes at once, or stays until it is cut off, for a while at most.
    for (const violation of Object.values(violations)) {
      for (const stays of [false, true]) {
        const peer = await Http2Peer.connect(server.port);
        const heard = peer.heard();
        peer.send(violation);
        await heard;
        const close = (): void => {
          peer.destroy();
        };
        if (stays) setTimeout(close, 500);
        else close();
      }
    }
    await eventually(() => {
      collectGarbage();
      return Promise.resolve(server.sessions() === 0);
    });
  });

  it('is cut off for a violation of a single byte, right after it has answered a ping', async () => {
    await start();
    const peer = await Http2Peer.connect(server.port);
    peer.send(call(1, path), frame(frames.data, endStream, 1, message));
    await peer.answerPing();
    peer.send(frame(frames.data, 0, 0, Buffer.alloc(1)));
    await peer.cutOff();
  });

  for (const code of [0, 8]) {
    for (const called of [path, '/there.is.no/Method']) {
      it(`ends though calls of ${called} were reset with the code ${code}`, async () => {
        await start();
        const peer = await Http2Peer.connect(server.port);
        const written = Array.from({ length: 60 }, (_, index) => {
          const stream = 1 + 2 * index;
          return Buffer.concat([
            call(stream, called),
            frame(frames.data, 0, stream, message),
            frame(frames.reset, 0, stream, uint32(code)),
          ]);
        });
        peer.send(...written);
        await peer.read();
        void server.drain();
        await peer.cutOff();
        await server.arrivals.ended();
      });
    }
  }
});

describe('a connection whose client has gone', () => {
  const ways: Readonly<Record<string, (session: ClientHttp2Session, socket: Socket) => void>> = {
    'closes its session': (session) => {
      session.close();
    },
    'destroys its session': (session) => {
      session.destroy();
    },
    'destroys its session and its socket': (session, socket) => {
      session.destroy();
      socket.destroy();
    },
    'destroys its socket': (_session, socket) => socket.destroy(),
    'ends its socket': (_session, socket) => socket.end(),
  };

  for (const scheme of ['http', 'https']) {
    it(`is gone over ${scheme}, in whatever way`, async () => {
      const authority = await CertificateAuthority.create();
      const credentialsOfServer = scheme === 'https' ? await tlsServer(authority) : undefined;
      const server = await startTestServer(
        {
          '/test/Echo': (_call: unknown, answer: sendUnaryData<Buffer>) => {
            answer(null, Buffer.alloc(0));
          },
        },
        credentialsOfServer && { credentials: credentialsOfServer },
      );
      const { port } = server;
      const ca = await readFile(authority.file);
      for (const go of Object.values(ways)) {
        for (const calls of [0, 1]) {
          const socket =
            scheme === 'https'
              ? connectTls({ port, host: 'localhost', ca, ALPNProtocols: ['h2'] })
              : connectTcp({ port, host: 'localhost' });
          const session = connect(`${scheme}://localhost`, { createConnection: () => socket });
          session.on('error', () => undefined);
          await once(session, 'remoteSettings');
          for (let made = 0; made < calls; made++) {
            const stream = session.request(callHeaders('/test/Echo'));
            stream.resume().end(message);
            await once(stream, 'close');
          }
          go(session, socket);
          await eventually(async () => (await server.connections()) === 0);
        }
      }
      server.stop();
      await authority.remove();
    });
  }
});
