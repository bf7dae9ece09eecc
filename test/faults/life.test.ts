import { once } from 'node:events';
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { status } from '@grpc/grpc-js';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { startMysql, type MysqlServer } from '../../scripts/mysql/server';
import type { Database } from '../../src/db/database';
import { endings, failureOf, sessionOf } from '../support/client';
import { createSessions, createSigner, createTenant, type Signer } from '../support/fixtures';
import { HealthClient } from '../support/health';
import { eventually, pause } from '../support/helpers';
import { callHeaders } from '../support/http2-peer';
import { scrape, sumOf } from '../support/metrics';
import { open, quick } from '../support/mysql';
import { ServiceProcess } from '../support/process';
import { startHarness, startProxiedHarness, type Harness } from '../support/service';
import { Signal } from '../support/signal';

const serviceName = 'sessionimport.v1.SessionImport';

describe('health', () => {
  it('is watched under every name: readiness ends with the order to stop, liveness with the process', async () => {
    const harness = await startHarness();
    const health = new HealthClient(harness.server.port);
    const seen = ['', serviceName, 'readiness', 'liveness'].map((name) => health.watch(name));
    await health.told(() => seen.every(({ length }) => length > 0));
    expect(seen).to.deep.equal([['SERVING'], ['SERVING'], ['SERVING'], ['SERVING']]);
    const stopped = harness.stop();
    await health.told(() => seen.slice(0, 3).every((names) => names.includes('NOT_SERVING')));
    expect(seen[3]).to.deep.equal(['SERVING']);
    await stopped;
    health.close();
  });

  it('of a service is bad only while its database does not answer', async () => {
    const harness = await startProxiedHarness();
    const health = new HealthClient(harness.server.port);
    let down = true;
    harness.proxy.intercept = (statement) => {
      if (down) statement.cut();
    };
    const seen = health.watch(serviceName);
    await health.told(() => seen.at(-1) === 'NOT_SERVING');
    expect(await health.check(serviceName)).to.equal('NOT_SERVING');
    down = false;
    await health.told(() => seen.at(-1) === 'SERVING');
    expect(await health.check(serviceName)).to.equal('SERVING');
    expect(await health.check('')).to.equal('SERVING');
    health.close();
    await harness.stop();
  });

  it('of a service is bad on a database that takes no writes', async function () {
    // A setting of the whole server: not to be touched on one that belongs to somebody.
    if (process.env['DATABASE_URL']) this.skip();
    const harness = await startHarness();
    const health = new HealthClient(harness.server.port);
    const seen = health.watch(serviceName);
    try {
      await harness.db.raw('SET GLOBAL read_only = 1');
      await health.told(() => seen.at(-1) === 'NOT_SERVING');
    } finally {
      await harness.db.raw('SET GLOBAL read_only = 0');
    }
    await health.told(() => seen.at(-1) === 'SERVING');
    health.close();
    await harness.stop();
  });
});

describe('a client', () => {
  let harness: Harness;
  const sessions: ClientHttp2Session[] = [];
  afterEach(async () => {
    for (const session of sessions.splice(0)) session.destroy();
    await harness.stop();
  });

  function http2(): ClientHttp2Session {
    const session = connectHttp2(`http://127.0.0.1:${harness.server.port}`);
    session.on('error', () => undefined);
    sessions.push(session);
    return session;
  }

  const headers = callHeaders(`/${serviceName}/ImportSession`);

  /** A message as gRPC puts it on the wire. */
  function frameOf(message: Buffer): Buffer {
    const head = Buffer.alloc(5);
    head.writeUInt32BE(message.length, 1);
    return Buffer.concat([head, message]);
  }

  /** How many calls of ImportSession have ended, as the metrics say. */
  async function handled(labels: Record<string, string>): Promise<number> {
    const series = await scrape(harness.server.metricsPort);
    const method = { grpc_method: 'ImportSession', ...labels };
    return sumOf(series, 'grpc_server_handled_total', method);
  }

  it('that connects and says nothing is cut off', async () => {
    harness = await startHarness({ environment: { GRPC_KEEPALIVE: '1' } });
    const silent: Socket = connect(harness.server.port, '127.0.0.1');
    silent.resume();
    await once(silent, 'close');
  });

  it('that opens a call and does not send its request is told that it is late', async () => {
    harness = await startHarness({
      environment: { GRPC_REQUEST_TIMEOUT: '1', GRPC_MAX_CONCURRENT_STREAMS: '7' },
    });
    const session = http2();
    await once(session, 'remoteSettings');
    expect(session.remoteSettings.maxConcurrentStreams).to.equal(7);
    const silent = session.request(headers, { endStream: false });
    const endless = session.request(headers, { endStream: false });
    endless.write(frameOf(Buffer.alloc(0)));
    for (const slow of [silent, endless]) {
      const [answer] = (await once(slow, 'response')) as [Record<string, string>];
      expect(Number(answer['grpc-status'])).to.equal(status.DEADLINE_EXCEEDED);
    }
    expect(await handled({ grpc_code: 'DeadlineExceeded' })).to.equal(2);
  });

  it('is counted with the code that it gets, also if no handler was ever reached', async () => {
    harness = await startHarness();
    const tooLarge = harness.client.import(null, { shareToken: 'x'.repeat(100_000) });
    expect((await failureOf(tooLarge)).code).to.equal('RESOURCE_EXHAUSTED');
    const garbled = http2().request(headers);
    garbled.end(frameOf(Buffer.from([0x0a, 0xff])));
    const [answer] = (await once(garbled, 'response')) as [Record<string, string>];
    expect(Number(answer['grpc-status'])).to.equal(status.INVALID_ARGUMENT);
    expect(await handled({ grpc_code: 'ResourceExhausted' })).to.equal(1);
    expect(await handled({ grpc_code: 'InvalidArgument' })).to.equal(1);
    expect(await handled({})).to.equal(2);
  });

  it('whose connection has grown old is asked to make a new one, and none of its calls fails', async () => {
    harness = await startHarness({ environment: { GRPC_MAX_CONNECTION_AGE: '1' } });
    const { client, target } = harness;
    const watched = http2();
    const told = once(watched, 'goaway').then(() => 'told');
    const calls = async (): Promise<string> => {
      const failure = await failureOf(client.import(target.apiKey, {}));
      expect(failure.reason).to.equal('INVALID_REQUEST');
      await pause(20);
      return 'called';
    };
    while ((await Promise.race([told, calls()])) !== 'told');
  });

  it('with far too much metadata is refused, and the others are served', async () => {
    harness = await startHarness();
    const { client, target } = harness;
    const refused = await failureOf(client.import('x'.repeat(100_000), {}));
    expect(refused.reason).to.equal(undefined);
    expect((await failureOf(client.import(target.apiKey, {}))).reason).to.equal('INVALID_REQUEST');
  });
});

describe('a service whose MySQL', () => {
  let mysql: MysqlServer;
  let db: Database;
  let signer: Signer;
  before(async function () {
    // What is crashed here must not be somebody else's.
    if (process.env['DATABASE_URL']) this.skip();
    mysql = await startMysql({ mysqldArguments: [...quick] });
    db = open(mysql.url);
    await db.migrate.latest();
    signer = await createSigner();
  });
  after(async () => {
    if (process.env['DATABASE_URL']) return;
    await signer.remove();
    await db.destroy();
    await mysql.stop();
  });

  function environment(): Record<string, string> {
    return {
      DATABASE_URL: mysql.url,
      SHARE_TOKEN_JWKS: signer.jwks,
      SESSION_BASE_URL: 'https://verify.example.com/session',
      GRPC_ADDRESS: '127.0.0.1:0',
      METRICS_ADDRESS: '127.0.0.1:0',
    };
  }

  it('is not there yet waits for it, says so, and is alive but not ready; one that is told to stop ends, also when nobody reads its log', async () => {
    await mysql.crash();
    const [waiting, stopped] = [1, 2].map(() => ServiceProcess.run(['serve'], environment()));
    if (!waiting || !stopped) throw new Error('nothing waits');
    await stopped.logged('waiting for the database');
    expect(await stopped.stop()).to.equal(0);
    expect(await waiting.logged('waiting for the database')).to.include({
      level: 'warn',
      why: 'ECONNREFUSED',
    });
    const { port } = await waiting.logged('watched');
    const probe = async (path: string) =>
      (await fetch(`http://127.0.0.1:${Number(port)}${path}`)).status;
    expect([await probe('/livez'), await probe('/readyz')]).to.deep.equal([200, 503]);

    await mysql.restart();
    const health = new HealthClient(await waiting.port());
    expect(await health.check(serviceName)).to.equal('SERVING');
    expect([await probe('/livez'), await probe('/readyz')]).to.deep.equal([200, 200]);
    health.close();
    waiting.stopReading();
    expect(await waiting.stop()).to.equal(0);
  });

  it('crashes under load recovers by itself, and nothing is lost that was acknowledged', async () => {
    const harness = await startHarness({ environment: environment(), signer });
    const { client } = harness;
    const [source, target] = [await createTenant(db), await createTenant(db)];
    const acknowledged: string[] = [];
    const outcomes = new Set<string>();
    const ends = new Signal();
    let running = true;
    const caller = async (offers: readonly { token: string }[]): Promise<void> => {
      for (const { token } of offers) {
        if (!running) return;
        const request = { shareToken: token, workflowId: target.workflows.user };
        const call = client.import(target.apiKey, request, { deadline: Date.now() + 20_000 });
        const [ending = ''] = await endings([call]);
        outcomes.add(ending);
        if (ending === 'OK') acknowledged.push(sessionOf(await call).sessionId);
        ends.fire();
        if (ending !== 'OK') await pause(20);
      }
    };
    const offers: { readonly token: string }[] = [];
    for (const original of await createSessions(db, source, 'user', 400)) {
      offers.push({ token: await signer.share(source, target, 'user', original) });
    }
    const half = offers.length / 2;
    const callers = Array.from({ length: 8 }, (_, i) =>
      caller(offers.slice(0, half).filter((_offer, index) => index % 8 === i)),
    );
    await ends.until(() => acknowledged.length > 20);
    await mysql.crash();
    await ends.until(() => outcomes.has('DATABASE_UNAVAILABLE'));
    running = false;
    await Promise.all(callers);
    const beforeTheCrash = acknowledged.length;

    await mysql.restart();
    running = true;
    await eventually(async () => {
      await caller(offers.slice(half));
      return acknowledged.length > beforeTheCrash;
    });
    const stored = await db('user_sessions').select<{ id: Buffer }[]>('id');
    const ids = new Set(stored.map(({ id }) => id.toString('hex')));
    const lost = acknowledged.filter((id) => !ids.has(id.replaceAll('-', '')));
    expect(lost).to.deep.equal([]);
    const count = async (query: Knex.QueryBuilder): Promise<number> => {
      const [row] = (await query.count({ rows: '*' })) as [{ rows: number }];
      return row.rows;
    };
    expect(await count(db('session_imports'))).to.equal(
      await count(db('user_sessions').whereNotNull('shared_from_session_id')),
    );

    await harness.stop();
  });
});
