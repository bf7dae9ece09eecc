import { rename } from 'node:fs/promises';
import { expect } from 'chai';
import type { Backlog } from '../../src/metrics/backlog';
import { Metrics } from '../../src/metrics/metrics';
import { endings, failureOf, rowsOf } from '../support/client';
import { CertificateAuthority } from '../support/certificates';
import { addLogs, createSession } from '../support/fixtures';
import { eventually } from '../support/helpers';
import { reading, scrape, sumOf, type Series } from '../support/metrics';
import {
  startHarness,
  startProxiedHarness,
  type Harness,
  type ProxiedHarness,
} from '../support/service';
import { serverNames } from '../support/tls';

const rpc = { grpc_service: 'sessionimport.v1.SessionImport', grpc_method: 'ImportSession' };

describe('the metrics', () => {
  let harness: ProxiedHarness;
  before(async () => {
    harness = await startProxiedHarness({ IMPORT_WORKERS: '1' });
  });
  after(() => harness.stop());

  const read = (): Promise<Series[]> => scrape(harness.server.metricsPort);

  /** What some work adds to the metrics. */
  async function added(
    work: () => Promise<unknown>,
  ): Promise<(name: string, labels?: Record<string, string>) => number> {
    const before = await read();
    await work();
    const after = await read();
    return (name, labels = {}) => sumOf(after, name, labels) - sumOf(before, name, labels);
  }

  async function offer(kind: 'user' | 'business', trustReview = false) {
    const { db, source, target, signer } = harness;
    const original = await createSession(db, source, kind);
    await addLogs(db, kind, original, 3);
    const shareToken = await signer.share(source, target, kind, original);
    return { original, request: { shareToken, workflowId: target.workflows[kind], trustReview } };
  }

  it('count RPCs by their code, and time them', async () => {
    const { client, target } = harness;
    const { request } = await offer('user');
    const grew = await added(async () => {
      await client.import(target.apiKey, request);
      await failureOf(client.import(target.apiKey, request));
      await failureOf(client.import(target.apiKey, {}));
      await failureOf(client.import('nobody', request));
    });
    expect(grew('grpc_server_started_total', rpc)).to.equal(4);
    expect(grew('grpc_server_handled_total', { ...rpc, grpc_type: 'unary' })).to.equal(4);
    for (const code of ['OK', 'PermissionDenied', 'InvalidArgument', 'Unauthenticated']) {
      expect(grew('grpc_server_handled_total', { ...rpc, grpc_code: code }), code).to.equal(1);
    }
    expect(grew('grpc_server_handling_seconds_count', rpc)).to.equal(4);
    expect(grew('grpc_server_handling_seconds_bucket', { ...rpc, le: '+Inf' })).to.equal(4);
    expect(grew('grpc_server_msg_received_total', rpc)).to.equal(4);
    expect(grew('grpc_server_msg_sent_total', rpc)).to.equal(1);
  });

  it('count imports by kind, trust and reason of refusal, and rows by relation', async () => {
    const { client, target } = harness;
    const [user, business, untrusted] = [
      await offer('user', true),
      await offer('business', true),
      await offer('user'),
    ];
    let rows: Record<string, number> = {};
    const grew = await added(async () => {
      rows = rowsOf(await client.import(target.apiKey, user.request));
      await client.import(target.apiKey, business.request);
      await client.import(target.apiKey, untrusted.request);
      await failureOf(client.import(target.apiKey, user.request));
      await failureOf(client.import(target.apiKey, { ...user.request, shareToken: 'none' }));
      await failureOf(client.import('nobody', user.request));
    });
    const imports = (kind: string, trust: string, result: string): number =>
      grew('session_import_imports_total', { kind, trust, result });
    expect(imports('user', 'trusted', 'imported')).to.equal(1);
    expect(imports('business', 'trusted', 'imported')).to.equal(1);
    expect(imports('user', 'untrusted', 'imported')).to.equal(1);
    expect(imports('user', 'trusted', 'SESSION_ALREADY_IMPORTED')).to.equal(1);
    expect(imports('unknown', 'trusted', 'SHARE_TOKEN_INVALID')).to.equal(1);
    expect(imports('unknown', 'unknown', 'API_KEY_INVALID')).to.equal(1);
    expect(grew('session_import_imports_total')).to.equal(6);
    expect(rows).to.deep.equal({ logs: 3 });
    expect(grew('session_import_cloned_rows_total', { kind: 'user', relation: 'logs' })).to.equal(
      6,
    );
    expect(grew('session_import_cloned_rows_total')).to.equal(9);
  });

  it('tell how many calls share a group, how many wait, and for how long', async () => {
    const { client, target, proxy } = harness;
    const blocked = await offer('user');
    const waiting = await Promise.all(Array.from({ length: 5 }, () => offer('user')));
    const grew = await added(async () => {
      const { came, letGo } = proxy.holdBack('LOCK IN SHARE MODE');
      const first = client.import(target.apiKey, blocked.request);
      await came;
      const used = { pool: 'import', state: 'used' };
      await reading(harness.server.metricsPort, 'session_import_database_connections', used, 1);
      const others = waiting.map(({ request }) => client.import(target.apiKey, request));
      const calls = endings([first, ...others]);
      const lane = { kind: 'user', lane: 'usual' };
      await reading(harness.server.metricsPort, 'session_import_queue_calls', lane, 5);
      letGo();
      proxy.intercept = undefined;
      expect(new Set(await calls)).to.deep.equal(new Set(['OK']));
    });
    expect(grew('session_import_group_calls_count', { kind: 'user' })).to.equal(2);
    expect(grew('session_import_group_calls_sum', { kind: 'user' })).to.equal(6);
    expect(grew('session_import_group_seconds_count', { kind: 'user' })).to.equal(2);
    expect(grew('session_import_queue_wait_seconds_count', { kind: 'user' })).to.equal(6);
    expect(grew('session_import_queue_calls')).to.equal(0);
  });

  it('count what is tried again, by what had failed', async () => {
    const { client, target, proxy } = harness;
    const { request } = await offer('user');
    const grew = await added(async () => {
      let cuts = 0;
      proxy.intercept = (statement) => {
        if (statement.sql.includes('INTO session_imports') && cuts++ < 2) {
          statement.cut();
        }
      };
      await client.import(target.apiKey, request);
      proxy.intercept = undefined;
    });
    expect(grew('session_import_retries_total', { failure: 'unreachable' })).to.equal(2);
    expect(grew('session_import_retries_total')).to.equal(2);
  });

  it('tell of the pools, the keys, the process and the version', async () => {
    const series = await read();
    const value = (name: string, labels: Record<string, string> = {}): number =>
      sumOf(series, `session_import_${name}`, labels);
    expect(value('database_connections_limit', { pool: 'import' })).to.equal(24);
    const others = ['look_up', 'reads', 'shares', 'refusals', 'health'];
    const limits = others.map((pool) => value('database_connections_limit', { pool }));
    expect(limits).to.deep.equal([4, 4, 4, 1, 1]);
    expect(value('database_connections', { pool: 'health' })).to.equal(1);
    expect(value('line_calls', { line: 'reads' })).to.equal(0);
    expect(value('line_calls', { line: 'shares' })).to.equal(0);
    expect(series.map(({ name }) => name)).to.include('session_import_database_connection_waiters');
    expect(value('queue_limit')).to.equal(1_000);
    expect(value('key_set_keys')).to.equal(1);
    expect(value('key_set_age_seconds')).to.be.within(0, 5);
    expect(value('ready')).to.equal(1);
    expect(value('build_info', { node: process.versions.node })).to.equal(1);
    expect(sumOf(series, 'process_resident_memory_bytes')).to.be.greaterThan(1_000_000);
    expect(series.map(({ name }) => name)).not.to.include(
      'session_import_certificate_expiry_timestamp_seconds',
    );
  });

  it('tell nothing of what waits for prune while it is not known', async () => {
    const metrics = new Metrics('', () => true);
    const since = { waiting: 1, oldest: new Date(0) };
    let backlog: Backlog | undefined = {
      erasures: { erase: since, delete: since },
      events: since,
      withdrawals: since,
      tables: new Map([['share_tokens', { rows: 1, oldest: new Date(0) }]]),
    };
    metrics.watch({
      ...{ pools: [], queueLimit: 1, lines: () => ({}), queue: () => [] },
      keySet: () => ({ keys: 0, ageSeconds: 0 }),
      certificateExpiry: () => undefined,
      backlog: () => backlog,
      eventStreams: () => 0,
    });
    const told = async () =>
      (await metrics.expose()).text.match(
        /^(\S+\{(step|table)=|\S+(event|withdrawal)\w*_waiting).*$/gm,
      );
    expect(await told()).to.have.length(10);
    backlog = undefined;
    expect(await told()).to.equal(null);
  });

  it('tell that the keys grow old while they can not be read', async () => {
    const age = async () => sumOf(await read(), 'session_import_key_set_age_seconds');
    const { jwks } = harness.signer;
    await rename(jwks, `${jwks}.away`);
    await eventually(async () => (await age()) > 2.5);
    await rename(`${jwks}.away`, jwks);
    await eventually(async () => (await age()) < 1.5);
  });
});

describe('the HTTP side', () => {
  const started: Harness[] = [];
  afterEach(async () => {
    for (const harness of started.splice(0)) await harness.stop();
  });

  async function start(environment: Record<string, string>): Promise<Harness> {
    const harness = await startHarness({ environment });
    started.push(harness);
    return harness;
  }

  const get = async (harness: Harness, path: string, method = 'GET') => {
    const url = `http://127.0.0.1:${harness.server.metricsPort ?? 0}${path}`;
    const response = await fetch(url, { method });
    return { status: response.status, text: (await response.text()).trim() };
  };

  it('answers probes, and nothing that is not for it', async () => {
    const harness = await start({});
    expect(await get(harness, '/livez')).to.deep.equal({ status: 200, text: 'alive' });
    expect(await get(harness, '/readyz')).to.deep.equal({ status: 200, text: 'ready' });
    expect((await get(harness, '/')).status).to.equal(404);
    expect((await get(harness, '/metrics', 'POST')).status).to.equal(405);
  });

  it('is not there when it is switched off, and imports go on as ever', async () => {
    const harness = await start({ METRICS_ADDRESS: 'off' });
    expect(harness.server.metricsPort).to.equal(undefined);
    expect((await failureOf(harness.client.import(null, {}))).reason).to.equal('API_KEY_INVALID');
  });

  it('tells when the certificate expires', async () => {
    const authority = await CertificateAuthority.create();
    const { certificate, privateKey } = await authority.issue(
      'server',
      [...serverNames],
      3_600_000,
    );
    const harness = await start({ GRPC_TLS_CERT: certificate, GRPC_TLS_KEY: privateKey });
    const series = await scrape(harness.server.metricsPort);
    const expiry = sumOf(series, 'session_import_certificate_expiry_timestamp_seconds');
    expect(expiry - Date.now() / 1_000).to.be.within(3_500, 3_601);
    await authority.remove();
  });

  it('does not let the service start where something else listens', async () => {
    const harness = await start({});
    const address = `127.0.0.1:${harness.server.metricsPort ?? 0}`;
    const error = await startHarness({ environment: { METRICS_ADDRESS: address } }).then(
      () => undefined,
      (failure: unknown) => failure as Error,
    );
    expect(error?.message).to.include(`can not listen on METRICS_ADDRESS ${address}`);
  });
});
