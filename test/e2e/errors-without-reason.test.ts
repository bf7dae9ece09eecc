import { readFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { constants, createServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { Metadata, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { SessionImportService } from '../../src/gen/sessionimport/v1/session_import';
import { SessionReadService } from '../../src/gen/sessionimport/v1/session_read';
import { failureOf, TestClient } from '../support/client';
import { createSession } from '../support/fixtures';
import { scrape, sumOf } from '../support/metrics';
import { frameOf, RawHttp2 } from '../support/raw-http2';
import { startProxiedHarness, type ProxiedHarness } from '../support/service';

const page = readFileSync(path.join(__dirname, '..', '..', 'docs', 'clients.md'), 'utf8');
const [, section = ''] = page.split('\n## Errors without a reason\n');
const [table = ''] = section.split('\n## ');

/** What happened, and the codes that the page names for it. */
const rows = new Map(
  [...table.matchAll(/^\| (?!what happened|---)(.+?) \| (.+?) \|/gm)].map(
    ([, event = '', codes = '']) => [
      event,
      [...codes.matchAll(/`([A-Z_]+)`/g)].map(([, code = '']) => code),
    ],
  ),
);

/** How a failure without a reason is told. */
interface Told {
  readonly code: string | undefined;
  readonly reason: string | undefined;
  /** What tells gRPC's own retries when to come back; undefined: nothing does. */
  readonly pushback: number | undefined;
}

const method = SessionImportService.importSession.path;
const anyMessage = frameOf(Buffer.alloc(0));

describe('an error without a reason', () => {
  let harness: ProxiedHarness;
  let raw: RawHttp2;
  before(async () => {
    harness = await startProxiedHarness({ GRPC_REQUEST_TIMEOUT: '1' });
    raw = new RawHttp2(harness.server.port);
  });
  after(async () => {
    raw.close();
    await harness.stop();
  });

  async function sent(body: Buffer, headers: Record<string, string> = {}): Promise<Told> {
    const answer = await raw.send(method, body, headers);
    expect(answer).not.to.include.keys('grpc-status-details-bin');
    const pushback = answer['grpc-retry-pushback-ms'];
    return {
      code: status[Number(answer['grpc-status'])],
      reason: undefined,
      pushback: pushback === undefined ? undefined : Number(pushback),
    };
  }

  /** A call whose stream the service resets. */
  async function reset(path: string, messages: readonly Buffer[]): Promise<Told> {
    const stream = raw.open(path, { 'grpc-encoding': 'gzip' });
    stream.end(Buffer.concat(messages));
    await new Promise((resolve) => stream.once('close', resolve));
    // What a client makes of the error of HTTP/2 (gRPC over HTTP/2, "Errors").
    const isCalm = stream.rstCode === constants.NGHTTP2_ENHANCE_YOUR_CALM;
    return {
      code: isCalm ? 'RESOURCE_EXHAUSTED' : 'INTERNAL',
      reason: undefined,
      pushback: undefined,
    };
  }

  const calling = (client: TestClient, request = {}, options = {}): Promise<Told> =>
    failureOf(client.import(harness.target.apiKey, request, options));

  /** A call that waits for the database when it is ended. */
  async function held(end: (abort: AbortController) => object): Promise<Told> {
    const { db, source, target, signer, client, proxy } = harness;
    const original = await createSession(db, source, 'user');
    const shareToken = await signer.share(source, target, 'user', original);
    const { came, letGo } = proxy.holdBack('BEGIN');
    const abort = new AbortController();
    const request = { shareToken, workflowId: target.workflows.user };
    const call = calling(client, request, { ...end(abort), signal: abort.signal });
    await came;
    abort.abort();
    const told = await call;
    letGo();
    return told;
  }

  async function unknown(name: string): Promise<Told> {
    const { importSession } = SessionImportService;
    return failureOf(harness.client.call({ ...importSession, path: name }, null, {} as never));
  }

  /** What a client makes of the HTTP status of something that is not the service. */
  async function proxied(httpStatus: number): Promise<Told> {
    const server = createServer((_request, response) => {
      response.writeHead(httpStatus).end();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const client = new TestClient(port);
    const told = await calling(client);
    client.close();
    server.close();
    return told;
  }

  /** What happened, as the page says it, and how to make it happen: once for each code of the row. */
  const events: Readonly<Record<string, () => Promise<Told | Told[]>>> = {
    'the deadline passed': async () => {
      const { db, source, target, signer, client, proxy } = harness;
      const original = await createSession(db, source, 'user');
      const shareToken = await signer.share(source, target, 'user', original);
      const { letGo } = proxy.holdBack('BEGIN');
      const request = { shareToken, workflowId: target.workflows.user };
      const told = await calling(client, request, { deadline: Date.now() + 100 });
      letGo();
      return told;
    },
    'the caller cancelled the call': () => held(() => ({})),
    'the request did not arrive within `GRPC_REQUEST_TIMEOUT`': async () => {
      const [answer] = (await once(raw.open(method), 'response')) as [Record<string, string>];
      return {
        code: status[Number(answer['grpc-status'])],
        reason: undefined,
        pushback: undefined,
      };
    },
    'the request is larger than 64 KiB': () => sent(frameOf(Buffer.alloc(65 * 1024))),
    'the request is larger than 64 KiB after decompression': () =>
      sent(frameOf(gzipSync(Buffer.alloc(65 * 1024)), true), { 'grpc-encoding': 'gzip' }),
    'the metadata has too many entries': () => {
      const metadata = new Metadata();
      for (let index = 0; index < 300; index++) metadata.set(`x-${index}`, 'x');
      return failureOf(harness.client.send(metadata, {}));
    },
    'the answer is larger than the client allows': async () => {
      const { db, source, server } = harness;
      const client = new TestClient(server.port, undefined, {
        'grpc.max_receive_message_length': 10,
      });
      const sessionId = await createSession(db, source, 'user');
      const call = client.call(SessionReadService.getSession, source.apiKey, {
        sessionId,
        relationPageSize: 0,
      });
      const told = await failureOf(call);
      client.close();
      return told;
    },
    'the method does not exist': () => unknown('/sessionimport.v1.SessionImport/Export'),
    'the service does not exist': () => unknown('/sessionimport.v9.SessionImport/ImportSession'),
    'the request is compressed, but not with gzip or deflate': () =>
      sent(frameOf(Buffer.from('x'), true), { 'grpc-encoding': 'br' }),
    "the request can't be decompressed": async () =>
      Promise.all(
        ['gzip', 'deflate'].map((encoding) =>
          sent(frameOf(Buffer.from('nonsense'), true), { 'grpc-encoding': encoding }),
        ),
      ),
    'the message is not a valid request of the method, or has far more fields or bytes than one needs':
      async () => [
        await sent(frameOf(Buffer.from([0x0a, 0xff]))),
        // A message that says it is compressed, without an encoding.
        await sent(frameOf(Buffer.from([0x0a, 0xff]), true)),
        // Empty fields that no method has.
        await sent(frameOf(Buffer.from('7a00'.repeat(2_000), 'hex'))),
      ],
    'the stream was half-closed before a complete message arrived': async () => [
      await sent(Buffer.alloc(0)),
      await sent(frameOf(Buffer.alloc(10)).subarray(0, 8)),
    ],
    'the call has more than one request message': () =>
      sent(Buffer.concat([anyMessage, anyMessage])),
    'the call has more than two request messages, a stream has more than two compressed ones, or a compressed message has over 8 KiB':
      async () => {
        const compressed = frameOf(gzipSync(Buffer.alloc(0)), true);
        const reflection = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
        return [
          await reset(method, [anyMessage, anyMessage, anyMessage]),
          await reset(reflection, [compressed, compressed, compressed]),
          await reset(method, [frameOf(gzipSync(randomBytes(9_000)), true)]),
        ];
      },
    '`grpc-timeout` is malformed': async () =>
      Promise.all(
        ['soon', '1', '', '-2S', '1.2S', '2S,4S', 'x2S', '2Sx', '123456789n', '+600H'].map((text) =>
          sent(anyMessage, { 'grpc-timeout': text }),
        ),
      ),
    'no connection can be made: nothing listens at the address, or TLS fails': async () => {
      const client = new TestClient(1);
      const told = await calling(client);
      client.close();
      return told;
    },
    'the connection was lost, or the process exited': () =>
      servedBy(({ session }) => {
        session?.destroy();
      }),
    'the client has called before it knew how many calls it may have open (REFUSED_STREAM)': () =>
      servedBy((stream) => {
        stream.on('error', () => undefined).close(constants.NGHTTP2_REFUSED_STREAM);
      }),
    'a proxy or load balancer answers instead of the service': async () =>
      Promise.all([401, 403, 404, 429, 502, 503, 504, 418].map(proxied)),
  };

  /** What a client says of a server that ends each call in some way. */
  async function servedBy(end: (stream: ServerHttp2Stream) => void): Promise<Told> {
    const server = createServer().on('stream', end);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const client = new TestClient((server.address() as AddressInfo).port);
    const told = await calling(client);
    client.close();
    server.close();
    return told;
  }

  /** Its answer is in HTTP alone, and has a test of its own. */
  const elsewhere = ['the content type is not `application/grpc`'];

  it('is listed on the page, for everything that the test can make happen', () => {
    expect([...rows.keys()]).to.have.members([...Object.keys(events), ...elsewhere]);
  });

  for (const [event, provoke] of Object.entries(events)) {
    it(`if ${event} has the code that the page names`, async () => {
      const told = [await provoke()].flat();
      expect(new Set(told.map(({ code }) => code))).to.deep.equal(new Set(rows.get(event)));
      for (const { reason } of told) expect(reason).to.equal(undefined);
    });
  }

  it('if the content type is not `application/grpc` is told by HTTP', async () => {
    const answer = await raw.send(method, anyMessage, { 'content-type': 'application/json' });
    expect(answer[':status']).to.equal(415);
    expect(answer).not.to.include.keys('grpc-status');
  });

  it('tells gRPC not to retry what would fail again', async () => {
    const tooLarge = await sent(frameOf(Buffer.alloc(65 * 1024)));
    const bomb = frameOf(gzipSync(Buffer.alloc(65 * 1024)), true);
    const decompressed = await sent(bomb, { 'grpc-encoding': 'gzip' });
    expect([tooLarge.pushback, decompressed.pushback]).to.deep.equal([-1, -1]);
  });

  it('is no fault of the service in the metrics, and no name that a peer makes up becomes a label', async () => {
    const before = await scrape(harness.server.metricsPort);
    const garbage = [
      Buffer.alloc(0),
      frameOf(Buffer.from([0x0a, 0xff])),
      anyMessage.subarray(0, 2),
    ];
    for (const body of garbage) await sent(body);
    for (let index = 0; index < 20; index++) await unknown(`/made.up.Service${index}/Method`);
    const after = await scrape(harness.server.metricsPort);
    const count = (series: typeof after, labels = {}): number =>
      sumOf(series, 'grpc_server_handled_total', labels);
    expect(count(after) - count(before)).to.equal(garbage.length);
    for (const grpc_code of ['Internal', 'Unknown'])
      expect(count(after, { grpc_code })).to.equal(0);
    const paths = after.map(({ labels }) => labels['grpc_service'] ?? '');
    expect(paths.filter((name) => name.startsWith('made.up'))).to.deep.equal([]);
    const errors = harness.logLines.filter((line) => line.includes('"level":"error"'));
    expect(errors).to.deep.equal([]);
  });
});
