import { once } from 'node:events';
import { connect } from 'node:net';
import { expect } from 'chai';
import { freePort } from '../../scripts/free-port';
import { readConfig } from '../../src/config';
import { ImportSessionRequest } from '../../src/gen/sessionimport/v1/session_import';
import { SessionImportServer } from '../../src/server';
import { createLogger } from '../../src/telemetry/log';
import { createSession, createSigner, type Signer } from '../support/fixtures';
import { HealthClient } from '../support/health';
import { pause } from '../support/helpers';
import { reading } from '../support/metrics';
import { serviceUrl } from '../support/mysql';
import { MysqlProxy, type Wanted } from '../support/mysql-proxy';
import { frameOf, RawHttp2 } from '../support/raw-http2';
import { startProxiedHarness } from '../support/service';
import { Signal } from '../support/signal';

/** What a start asks of MySQL, in order. The last one is the first check of the health. */
const statements: readonly Wanted[] = [
  'SET SESSION ',
  'wsrep_sync_wait',
  'SHOW TABLES',
  'FROM knex_migrations',
  'REFERENTIAL_CONSTRAINTS',
  'information_schema.COLUMNS',
  'information_schema.TABLES',
  'KEY_COLUMN_USAGE',
  'global.read_only',
];

/** A start that goes on, and what it needs around it. */
class Starting {
  private readonly stopping = new AbortController();
  private readonly lines: { readonly msg: string; readonly port?: number }[] = [];
  private readonly logging = new Signal();

  private constructor(
    readonly proxy: MysqlProxy,
    readonly port: number,
  ) {}

  static async prepare(): Promise<Starting> {
    return new Starting(await MysqlProxy.open(serviceUrl()), await freePort());
  }

  begin(signer: Signer): Promise<SessionImportServer> {
    const config = readConfig({
      DATABASE_URL: this.proxy.url,
      GRPC_ADDRESS: `127.0.0.1:${this.port}`,
      METRICS_ADDRESS: '127.0.0.1:0',
      SHARE_TOKEN_JWKS: signer.jwks,
      SESSION_BASE_URL: 'https://verify.example.com/session',
    });
    const write = (line: string): void => {
      this.lines.push(JSON.parse(line) as { msg: string });
      this.logging.fire();
    };
    const log = createLogger({ level: 'info', format: 'json' }, { write });
    return SessionImportServer.start(config, log, { signal: this.stopping.signal });
  }

  /** Tells it to stop, and returns the reason that it must end with. */
  stop(): unknown {
    this.stopping.abort();
    return this.stopping.signal.reason;
  }

  /** Waits for a log line, and returns it. */
  async logged(message: string): Promise<{ readonly port?: number }> {
    const found = () => this.lines.find(({ msg }) => msg === message);
    await this.logging.until(() => found() !== undefined);
    return found() ?? {};
  }

  hasLogged(message: string): boolean {
    return this.lines.some(({ msg }) => msg === message);
  }

  /** Whether anybody listens for gRPC. */
  async listens(): Promise<boolean> {
    const socket = connect(this.port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      return true;
    } catch {
      return false;
    } finally {
      socket.destroy();
    }
  }
}

describe('a start', () => {
  let signer: Signer;
  before(async () => {
    signer = await createSigner();
  });
  after(() => signer.remove());

  it('begins anew when MySQL goes away, at whichever statement', async () => {
    const whole = statements.slice(0, -1).map(async (wanted) => {
      const starting = await Starting.prepare();
      let cut = false;
      starting.proxy.intercept = (statement) => {
        if (cut || !statement.sql.includes(String(wanted))) return;
        cut = true;
        statement.cut();
      };
      const server = await starting.begin(signer);
      expect(starting.hasLogged('waiting for the database')).to.equal(true);
      await server.stop();
      starting.proxy.close();
    });
    await Promise.all(whole);
  });

  it('knows its health before it listens, and is ready when it does', async () => {
    const starting = await Starting.prepare();
    const held = starting.proxy.holdBack('global.read_only');
    const begun = starting.begin(signer);
    const { port } = await starting.logged('watched');
    await held.came;
    expect(await starting.listens()).to.equal(false);
    const ready = async () => (await fetch(`http://127.0.0.1:${port ?? 0}/readyz`)).status;
    expect(await ready()).to.equal(503);
    held.letGo();
    const server = await begun;
    const health = new HealthClient(server.port);
    expect([await health.check(''), await ready()]).to.deep.equal(['SERVING', 200]);
    health.close();
    await server.stop();
    starting.proxy.close();
  });

  it('ends at once when it is told to stop, whatever it waits for, and has never listened', async () => {
    const ended = statements.map(async (wanted) => {
      const starting = await Starting.prepare();
      const held = starting.proxy.holdBack(wanted);
      const end = starting.begin(signer).catch((error: unknown) => error);
      await held.came;
      const reason = starting.stop();
      expect(await end).to.equal(reason);
      expect(await starting.listens()).to.equal(false);
      starting.proxy.close();
    });
    await Promise.all(ended);
  });
});

describe('a stop', () => {
  it('finishes a call that was accepted before, though its request comes after', async () => {
    const harness = await startProxiedHarness();
    const { db, server, source, target, proxy } = harness;
    const request = ImportSessionRequest.fromPartial({
      shareToken: await harness.signer.share(
        source,
        target,
        'user',
        await createSession(db, source, 'user'),
      ),
      workflowId: target.workflows.user,
    });
    const client = new RawHttp2(server.port);
    const stream = client.open('/sessionimport.v1.SessionImport/ImportSession', {
      'x-api-key': target.apiKey,
    });
    const answered = once(stream, 'trailers');
    await reading(server.metricsPort, 'grpc_server_started_total', {}, 1);
    const stopped = harness.stop();
    const held = proxy.holdBack('BEGIN');
    stream.end(frameOf(Buffer.from(ImportSessionRequest.encode(request).finish())));
    await held.came;
    // For longer than connections without calls get to close.
    await pause(700);
    held.letGo();
    const [trailers] = (await answered) as [Record<string, string>];
    expect(trailers['grpc-status']).to.equal('0');
    client.close();
    await stopped;
  });

  it('does not wait for calls whose request was refused before it was whole, or that were given up', async () => {
    const harness = await startProxiedHarness();
    const client = new RawHttp2(harness.server.port);
    const path = '/sessionimport.v1.SessionImport/ImportSession';
    await client.send(path, frameOf(Buffer.alloc(100_000)));
    const stream = client.open(path);
    const { metricsPort } = harness.server;
    await reading(metricsPort, 'grpc_server_started_total', {}, 2);
    stream.close(8);
    await reading(metricsPort, 'grpc_server_handled_total', {}, 2);
    client.close();
    // Otherwise, it would wait for GRPC_REQUEST_TIMEOUT, which is longer than this test may take.
    await harness.stop();
  }).timeout(5_000);
});
