import { promisify } from 'node:util';
import {
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  status,
  type sendUnaryData,
  type ServerUnaryCall,
} from '@grpc/grpc-js';
import { expect } from 'chai';
import { serviceConfig } from '../../src/client';
import { toBinary, type SessionId, type WorkflowId } from '../../src/model/ids';
import { must } from '../../src/model/must';
import {
  ImportSessionRequest,
  ImportSessionResponse,
  SessionImportClient,
  SessionImportService,
} from '../../src/gen/sessionimport/v1/session_import';
import { retryableCodes } from '../../src/rpc/server/pushback';
import { failureOf, TestClient, type Failure } from '../support/client';
import { createSession, createTenant } from '../support/fixtures';
import { reading, scrape, sumOf } from '../support/metrics';
import { select } from '../support/rows';
import {
  startHarness,
  startProxiedHarness,
  type Harness,
  type ProxiedHarness,
} from '../support/service';

interface ServiceConfig {
  readonly methodConfig: readonly [
    {
      readonly timeout: string;
      readonly retryPolicy: {
        readonly maxAttempts: number;
        readonly initialBackoff: string;
        readonly maxBackoff: string;
        readonly backoffMultiplier: number;
        readonly retryableStatusCodes: readonly (keyof typeof status)[];
      };
    },
  ];
}

const {
  methodConfig: [{ timeout, retryPolicy }],
} = JSON.parse(serviceConfig) as ServiceConfig;

/** The milliseconds of a duration as the file has it, such as `1.5s`. */
const millisecondsOf = (duration: string): number => Number.parseFloat(duration) * 1_000;

/** How long Group Replication takes to elect a primary after one was lost, in milliseconds. */
const election = 20_000;

describe('a client with the service config', () => {
  let harness: ProxiedHarness;
  let client: TestClient;
  beforeEach(async () => {
    harness = await startProxiedHarness({
      DATABASE_LOCK_WAIT: '1',
      IMPORT_WORKERS: '1',
      IMPORT_QUEUE_LIMIT: '1',
    });
    client = new TestClient(harness.server.port, undefined, {
      'grpc.service_config': serviceConfig,
    });
  });
  afterEach(async () => {
    client.close();
    await harness.stop();
  });

  const sharedSession = async (): Promise<SessionId> =>
    createSession(harness.db, harness.source, 'user');

  const requestFor = async (
    original: SessionId,
    tenant = harness.target,
  ): Promise<Partial<ImportSessionRequest>> => ({
    shareToken: await harness.signer.share(harness.source, tenant, 'user', original),
    workflowId: tenant.workflows.user,
  });

  /** When each try of the importing application came to its end, and how, as the service saw it. */
  const tries = (): { readonly code: string; readonly time: number }[] =>
    harness.logLines
      .map((line) => JSON.parse(line) as { code: string; time: string; application_id?: string })
      .filter((entry) => entry.application_id === harness.target.applicationId)
      .map(({ code, time }) => ({ code, time: Date.parse(time) }));

  const codes = (): string[] => tries().map(({ code }) => code);

  it('tries again after UNAVAILABLE, when the service says', async () => {
    const request = await requestFor(await sharedSession());
    harness.proxy.intercept = (statement) => {
      if (codes().length < 1 && statement.sql.startsWith('BEGIN')) statement.cut();
    };
    await client.import(harness.target.apiKey, request);
    expect(codes()).to.deep.equal(['UNAVAILABLE', 'OK']);
    const [first = 0, second = 0] = tries().map(({ time }) => time);
    // A timer may fire a millisecond early.
    expect(second - first).to.be.at.least(1_000 - 1);
  });

  it('tries again after ABORTED', async () => {
    const original = await sharedSession();
    const writer = await harness.db.transaction();
    await writer('user_sessions')
      .where({ id: toBinary(original) })
      .forUpdate();
    const call = client.import(harness.target.apiKey, await requestFor(original));
    await harness.logged(() => codes().length === 1);
    await writer.rollback();
    await call;
    expect(codes()).to.deep.equal(['ABORTED', 'OK']);
  });

  it('tries again after RESOURCE_EXHAUSTED', async () => {
    const { proxy } = harness;
    const rival = await createTenant(harness.db);
    const rivalCall = async (): Promise<unknown> =>
      harness.client.import(rival.apiKey, await requestFor(await sharedSession(), rival));
    let release = (): void => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    const busy = new Promise<void>((resolve) => {
      proxy.intercept = async ({ sql }) => {
        if (!sql.startsWith('BEGIN')) return;
        resolve();
        await released;
      };
    });
    // One call keeps the worker busy; of two more, one waits, and for the other there is no place.
    const rivals = [rivalCall()];
    await busy;
    rivals.push(rivalCall(), rivalCall());
    const settled = Promise.allSettled(rivals);
    expect(await failureOf(Promise.race(rivals))).to.include({ code: 'RESOURCE_EXHAUSTED' });

    const call = client.import(harness.target.apiKey, await requestFor(await sharedSession()));
    await harness.logged(() => codes().length === 1);
    release();
    await call;
    await settled;
    expect(codes()).to.deep.equal(['RESOURCE_EXHAUSTED', 'OK']);
  });

  describe('at its limit of calls', () => {
    let limited: Harness;
    beforeEach(async () => {
      limited = await startHarness({ environment: { RATE_LIMIT: '1', RATE_LIMIT_BURST: '1' } });
    });
    afterEach(() => limited.stop());

    /** How a call over the limit ends, if it says that it was tried before. */
    async function refusal(
      caller: TestClient,
      previousTries: string,
      milliseconds: number,
    ): Promise<Failure> {
      const metadata = new Metadata();
      metadata.set('x-api-key', limited.target.apiKey);
      metadata.set('grpc-previous-rpc-attempts', previousTries);
      const deadline = Date.now() + milliseconds;
      const calls = Array.from({ length: 5 }, () =>
        failureOf(caller.send(metadata, {}, { deadline })),
      );
      const failures = await Promise.all(calls);
      return must(
        failures.find(({ reason }) => reason === 'RATE_LIMITED'),
        'a refusal',
      );
    }

    it('goes on for longer than MySQL takes to elect a primary, by the file and by the service', async () => {
      const { maxAttempts, initialBackoff, maxBackoff, backoffMultiplier } = retryPolicy;
      // gRFC A6: more tries than that are not made.
      expect(maxAttempts).to.equal(5);
      const waits = Array.from({ length: maxAttempts - 1 }, (_, previous) =>
        Math.min(
          millisecondsOf(initialBackoff) * backoffMultiplier ** previous,
          millisecondsOf(maxBackoff),
        ),
      );
      const all = waits.reduce((sum, wait) => sum + wait);
      // The jitter of gRFC A6.
      expect(all * 0.8).to.be.above(election);
      expect(all * 1.2).to.be.below(millisecondsOf(timeout));
      // What the service says has a jitter of its own.
      expect(all * 1.5).to.be.below(millisecondsOf(timeout));
      for (const [previous, wait] of waits.entries()) {
        // Without the file, this client does not try again by itself.
        const { pushback } = await refusal(
          limited.client,
          String(previous),
          millisecondsOf(timeout),
        );
        expect(pushback).to.be.within(wait, wait * 1.5);
      }
    });

    it('does not try again if the next try would come after the deadline, and is told why it was refused', async () => {
      const caller = new TestClient(limited.server.port, undefined, {
        'grpc.service_config': serviceConfig,
      });
      // The fifth try would come after fifteen seconds at least.
      for (const previousTries of ['3', '4', '1e9']) {
        expect((await refusal(caller, previousTries, 14_900)).pushback).to.equal(-1);
      }
      caller.close();
    });
  });

  it('tries a message that is too large only once', async () => {
    const failure = await failureOf(client.import(null, { shareToken: 'x'.repeat(100_000) }));
    expect(failure).to.include({ code: 'RESOURCE_EXHAUSTED', reason: undefined, pushback: -1 });
    const { metricsPort } = harness.server;
    await reading(metricsPort, 'grpc_server_handled_total', { grpc_code: 'ResourceExhausted' }, 1);
  });

  it('spreads its calls over all processes of the service', async () => {
    const others = await startHarness();
    const caller = new SessionImportClient(
      `ipv4:127.0.0.1:${harness.server.port},127.0.0.1:${others.server.port}`,
      credentials.createInsecure(),
      { 'grpc.service_config': serviceConfig },
    );
    const call = promisify(caller.importSession.bind(caller));
    const handledBy = async ({ server }: Harness): Promise<number> =>
      sumOf(await scrape(server.metricsPort), 'grpc_server_handled_total');
    while ((await handledBy(harness)) === 0 || (await handledBy(others)) === 0) {
      await call(ImportSessionRequest.create()).catch(() => undefined);
    }
    caller.close();
    await others.stop();
  });

  it('tries again what the service tells it to try again, and nothing else', () => {
    const tried = retryPolicy.retryableStatusCodes.map((name) => status[name]);
    expect(new Set(tried)).to.deep.equal(retryableCodes);
  });

  it('does not try again after NOT_FOUND or PERMISSION_DENIED', async () => {
    const { target } = harness;
    const request = await requestFor(await sharedSession());
    const workflowId = '01a2058b-7a61-7348-906d-033d61826d1a' as WorkflowId;
    const unfiled = await failureOf(client.import(target.apiKey, { ...request, workflowId }));
    expect(unfiled.reason).to.equal('WORKFLOW_NOT_FOUND');
    await client.import(target.apiKey, request);
    const repeated = await failureOf(client.import(target.apiKey, request));
    expect(repeated.reason).to.equal('SESSION_ALREADY_IMPORTED');
    expect(codes()).to.deep.equal(['NOT_FOUND', 'OK', 'PERMISSION_DENIED']);
  });

  it('is told of the copy when a try whose answer was lost has made one', async () => {
    const { target, proxy } = harness;
    const request = await requestFor(await sharedSession());
    let claimed = false;
    let finishCommit: (() => Promise<void>) | undefined;
    proxy.intercept = (statement) => {
      if (codes().length > 0) return;
      claimed ||= statement.sql.startsWith('INSERT INTO session_imports');
      if (finishCommit) statement.cut();
      else if (claimed && statement.sql.startsWith('COMMIT')) finishCommit = statement.orphan();
    };
    const call = failureOf(client.import(target.apiKey, request));
    await harness.logged(() => codes().length === 1);
    await finishCommit?.();
    const failure = await call;
    expect(codes()).to.deep.equal(['UNAVAILABLE', 'PERMISSION_DENIED']);
    expect(failure.reason).to.equal('SESSION_ALREADY_IMPORTED');
    const copies = await select('SELECT id FROM user_sessions WHERE application_id = ?', [
      toBinary(target.applicationId),
    ]);
    expect(copies).to.deep.equal([{ id: toBinary(failure.metadata['session_id'] as SessionId) }]);
  });

  it('gives a call that has no deadline the one of the file', async () => {
    // No service waits that long in a test: this one only tells what it was given.
    const server = new Server();
    let deadline = Infinity;
    server.addService(SessionImportService, {
      importSession(
        call: ServerUnaryCall<ImportSessionRequest, ImportSessionResponse>,
        answer: sendUnaryData<ImportSessionResponse>,
      ) {
        deadline = Number(call.getDeadline());
        answer(null, ImportSessionResponse.create());
      },
    });
    const port = await promisify(server.bindAsync.bind(server))(
      '127.0.0.1:0',
      ServerCredentials.createInsecure(),
    );
    const caller = new TestClient(port, undefined, { 'grpc.service_config': serviceConfig });
    const sentAt = Date.now();
    await caller.import(harness.target.apiKey, {});
    caller.close();
    server.forceShutdown();
    const limit = millisecondsOf(timeout);
    expect(deadline).to.be.within(sentAt + limit / 2, Date.now() + limit);
  });
});
