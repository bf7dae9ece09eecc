import { Metadata } from '@grpc/grpc-js';
import { propagation } from '@opentelemetry/api';
import { expect } from 'chai';
import { toBinary } from '../../src/model/ids';
import { createLogger } from '../../src/telemetry/log';
import { startTracing } from '../../src/telemetry/tracing';
import { failureOf, sessionOf, TestClient } from '../support/client';
import { createSession } from '../support/fixtures';
import { reading } from '../support/metrics';
import { databaseUrl } from '../support/mysql';
import { Collector, type ReceivedSpan } from '../support/otlp';
import { ServiceProcess } from '../support/process';
import { startHarness, writingNothing, type Harness } from '../support/service';

const call = 'sessionimport.v1.SessionImport/ImportSession';
const sampled = '01';

describe('traces', () => {
  let harness: Harness;
  let collector: Collector;
  let service: ServiceProcess;
  let client: TestClient;
  before(async () => {
    harness = await startHarness();
    collector = await Collector.open();
    service = await serve(collector.environment);
    client = new TestClient(await service.port());
  });
  after(async () => {
    client.close();
    await service.stop();
    collector.close();
    await harness.stop();
  });

  function serve(environment: Record<string, string>): Promise<ServiceProcess> {
    return ServiceProcess.serve({
      DATABASE_URL: databaseUrl(),
      SHARE_TOKEN_JWKS: harness.signer.jwks,
      SESSION_BASE_URL: 'https://verify.example.com/session',
      IMPORT_WORKERS: '1',
      ...writingNothing,
      ...environment,
    });
  }

  /** The metadata of a call that is part of a trace. */
  function traced(traceId: string, flags = sampled): Metadata {
    const metadata = new Metadata();
    metadata.set('x-api-key', harness.target.apiKey);
    metadata.set('traceparent', `00-${traceId}-00f067aa0ba902b7-${flags}`);
    return metadata;
  }

  const traceIdOf = (last: number): string => `4bf92f3577b34da6a3ce929d0e0e47${last.toString(16)}`;

  async function offer() {
    const { db, source, target, signer } = harness;
    const original = await createSession(db, source, 'user');
    const shareToken = await signer.share(source, target, 'user', original);
    return { original, request: { shareToken, workflowId: target.workflows.user } };
  }

  async function spansOf(traceId: string): Promise<ReceivedSpan[]> {
    const own = () => collector.spans.filter((span) => span.traceId === traceId);
    // What belongs to it was finished before, and spans are sent in the order in which they end.
    await collector.received(() => own().some(({ name }) => name === call));
    return own();
  }

  it('lead from the caller’s context through verification, queue and group to every statement', async () => {
    const { request } = await offer();
    const session = sessionOf(await client.send(traced(traceIdOf(16)), request));
    const spans = await spansOf(traceIdOf(16));
    const only = (name: string): ReceivedSpan => {
      const [found, ...others] = spans.filter((span) => span.name === name);
      if (!found || others.length > 0) throw new Error(`there must be one span ${name}`);
      return found;
    };
    const server = only(call);
    expect(server).to.include({
      parentSpanId: '00f067aa0ba902b7',
      kind: 2,
      service: 'session-import',
    });
    expect(server.attributes).to.include({
      'rpc.system': 'grpc',
      'rpc.method': 'ImportSession',
      'rpc.grpc.status_code': 0,
    });
    for (const step of ['authenticate', 'verify the share token', 'wait for a group']) {
      expect(only(step).parentSpanId).to.equal(server.spanId);
    }
    const group = only('import a group');
    expect(group.parentSpanId).to.equal(server.spanId);
    expect(group.attributes).to.include({
      'session_import.kind': 'user',
      'session_import.calls': 1,
    });
    const statements = spans.filter(({ parentSpanId }) => parentSpanId === group.spanId);
    expect(statements.every(({ kind }) => kind === 3)).to.equal(true);
    expect(statements.map(({ name }) => name)).to.include.members(['SELECT', 'INSERT', 'COMMIT']);
    const texts = statements.map(({ attributes }) => String(attributes['db.query.text']));
    expect(texts.join()).to.include('INTO session_imports').and.include('FORCE INDEX');
    const line = service.logLines.find((entry) => entry.includes(session.sessionId)) ?? '{}';
    expect(JSON.parse(line)).to.include({ trace_id: traceIdOf(16), code: 'OK' });
  });

  it('link a group to each of its calls, and each call to its group', async () => {
    const { db, target } = harness;
    const first = await offer();
    const others = await Promise.all([offer(), offer(), offer()]);
    let answers: Promise<unknown> = Promise.resolve();
    await db.transaction(async (writer) => {
      // The group waits for it, since the new session refers to it.
      await writer('workflows')
        .where({ id: toBinary(target.workflows.user) })
        .forUpdate();
      const calls = [client.send(traced(traceIdOf(17)), first.request)];
      const used = { pool: 'import', state: 'used' };
      const port = Number((await service.logged('serving'))['metrics_port']);
      await reading(port, 'session_import_database_connections', used, 1);
      calls.push(
        ...others.map(({ request }, i) => client.send(traced(traceIdOf(18 + i)), request)),
      );
      answers = Promise.all(calls);
      await reading(port, 'session_import_queue_calls', { kind: 'user' }, 3);
    });
    await answers;
    const servers = await Promise.all(
      [18, 19, 20].map(async (last) =>
        (await spansOf(traceIdOf(last))).find(({ name }) => name === call),
      ),
    );
    const group = collector
      .named('import a group')
      .find(({ attributes }) => attributes['session_import.calls'] === 3);
    expect(group?.links.map(({ spanId }) => spanId)).to.have.members(
      servers.map((server) => server?.spanId),
    );
    for (const server of servers) {
      expect(server?.links.map(({ spanId }) => spanId)).to.deep.equal([group?.spanId]);
    }
  });

  it('show what a call has failed with, and hold nothing that is secret or personal', async () => {
    const { target } = harness;
    const { request } = await offer();
    const vendorData = 'Ana María Núñez';
    await client.send(traced(traceIdOf(24)), { ...request, vendorData });
    const again = client.send(traced(traceIdOf(25)), { ...request, vendorData });
    expect((await failureOf(again)).reason).to.equal('SESSION_ALREADY_IMPORTED');
    const forged = `${request.shareToken.slice(0, -8)}AAAAAAAA`;
    await failureOf(client.send(traced(traceIdOf(26)), { ...request, shareToken: forged }));
    const [refused, invalid] = [await spansOf(traceIdOf(25)), await spansOf(traceIdOf(26))];
    const server = refused.find(({ name }) => name === call);
    expect(server?.attributes['rpc.grpc.status_code']).to.equal(7);
    const step = invalid.find(({ name }) => name === 'verify the share token');
    expect(step?.attributes['error.type']).to.equal('SHARE_TOKEN_INVALID');
    const sent = collector.bodies.join();
    const secrets = [target.apiKey, vendorData, ...request.shareToken.split('.')];
    for (const secret of secrets) expect(sent).not.to.include(secret);
  });

  it('are not made for a caller who does not want any', async () => {
    const { request } = await offer();
    await client.send(traced(traceIdOf(27), '00'), request);
    await client.send(traced(traceIdOf(28)), (await offer()).request);
    await spansOf(traceIdOf(28));
    expect(collector.spans.filter(({ traceId }) => traceId === traceIdOf(27))).to.deep.equal([]);
  });

  it('hold no statement of a call that is not traced, whoever it shares its moment with', async () => {
    const pairs = await Promise.all(
      Array.from({ length: 10 }, () => Promise.all([offer(), offer()])),
    );
    const one = await serve({ ...collector.environment, IMPORT_GROUP_SIZE: '1' });
    const caller = new TestClient(await one.port());
    await Promise.all(
      pairs.flatMap(([wanted, unwanted]) => [
        caller.send(traced(traceIdOf(30)), wanted.request),
        caller.send(traced(traceIdOf(31), '00'), unwanted.request),
      ]),
    );
    caller.close();
    expect(await one.stop()).to.equal(0);
    const spans = collector.spans.filter(({ traceId }) => traceId === traceIdOf(30));
    const groups = spans.filter(({ name }) => name === 'import a group');
    const statements = spans.filter(({ kind }) => kind === 3);
    expect(groups).to.have.length(10);
    expect(statements.length).to.be.greaterThan(40);
    const owners = new Set(groups.map(({ spanId }) => spanId));
    const steps = spans.filter(({ name }) => name === 'authenticate').map(({ spanId }) => spanId);
    for (const span of statements) {
      expect([...owners, ...steps]).to.include(span.parentSpanId, span.name);
    }
  });

  it('say nothing of the machine that they come from', async () => {
    const { request } = await offer();
    await client.send(traced('5bf92f3577b34da6a3ce929d0e0e4736'), request);
    await spansOf('5bf92f3577b34da6a3ce929d0e0e4736');
    expect(collector.bodies.join()).not.to.match(/host\.|process\./);
  });

  it('are off unless the standard variables ask for them, and log lines name the trace even so', async () => {
    const { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint = '' } = collector.environment;
    const log = createLogger({ level: 'info', format: 'json' });
    for (const environment of [
      {},
      { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_SDK_DISABLED: 'true' },
      { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_TRACES_EXPORTER: 'none' },
    ]) {
      propagation.disable();
      expect(await startTracing(environment, log)).to.equal(undefined);
      const { request } = await offer();
      const session = sessionOf(await harness.client.send(traced(traceIdOf(29)), request));
      const line = harness.logLines.find((entry) => entry.includes(session.sessionId)) ?? '{}';
      expect(JSON.parse(line)).to.include({ trace_id: traceIdOf(29) });
    }
    propagation.disable();
    expect(collector.spans.filter(({ traceId }) => traceId === traceIdOf(29))).to.deep.equal([]);
  });
});
