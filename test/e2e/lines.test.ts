import type { JsonObject } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { SessionReadService } from '../../src/gen/sessionimport/v1/session_read';
import {
  SessionShareService,
  ShareSessionRequest,
} from '../../src/gen/sessionimport/v1/session_share';
import { openTextDatabase } from '../../src/db/connection';
import { createRetry } from '../../src/db/retry';
import { read, select } from '../../src/db/query';
import { toServiceError } from '../../src/db/errors';
import { newId, toBinary, type Id, type SessionId } from '../../src/model/ids';
import { lineOfReads } from '../../src/rpc/call/lines';
import { CallerMix } from '../../src/turns/caller-mix';
import { endings } from '../support/client';
import { createSession, createTenant, type Tenant } from '../support/fixtures';
import { methodOf, methods, titleOf } from '../support/methods';
import { reading } from '../support/metrics';
import { databaseUrl } from '../support/mysql';
import type { Passing } from '../support/mysql-proxy';
import { startProxiedHarness, type ProxiedHarness } from '../support/service';
import { Signal } from '../support/signal';

/** What each method needs to be answered, for a session and its share token. */
const requests: Readonly<Record<string, (session: SessionId) => JsonObject>> = {
  'SessionImport/ListWorkflows': () => ({}),
  'SessionRead/GetSession': (session) => ({ session_id: session }),
  'SessionRead/ListSessionRows': (session) => ({ session_id: session, relation: 'logs' }),
  'SessionRead/ListSessions': () => ({}),
  'SessionTrace/ListImports': () => ({}),
  'SessionTrace/GetProvenance': (session) => ({ session_id: session }),
  'SessionShare/ListShareTokens': (session) => ({ session_id: session }),
};

describe('calls that wait for the database', () => {
  let harness: ProxiedHarness;
  let mine: Tenant;
  let session: SessionId;
  beforeEach(async () => {
    harness = await startProxiedHarness();
    mine = await createTenant(harness.db);
    session = await createSession(harness.db, mine, 'user');
  });
  afterEach(() => harness.stop());

  /** How an id stands in a statement. */
  const written = (id: Id<string>): string => `X'${toBinary(id).toString('hex')}'`;

  /** Holds back all statements of applications, except the look-ups of their keys. */
  function holdBack(...tenants: readonly Tenant[]) {
    const names = tenants.map(({ applicationId }) => written(applicationId));
    const held = new Set<Passing>();
    const came = new Signal();
    let letGo = (): void => undefined;
    const free = new Promise<void>((resolve) => (letGo = resolve));
    harness.proxy.intercept = (statement) => {
      if (!names.some((name) => statement.sql.includes(name))) return;
      held.add(statement);
      came.fire();
      return free;
    };
    return { held: (count: number) => came.until(() => held.size === count), letGo };
  }

  const list = (tenant: Tenant, signal?: AbortSignal) =>
    harness.client.call(
      SessionReadService.listSessions,
      tenant.apiKey,
      SessionReadService.listSessions.requestDeserialize(Buffer.of()),
      signal ? { signal } : {},
    );

  const times = <T>(count: number, work: () => T): T[] => Array.from({ length: count }, work);

  it('leave room for every read of another application, whatever one application reads', async () => {
    const { source, client } = harness;
    const flood = holdBack(source);
    const floods = times(20, () => list(source));
    await flood.held(2);
    const reads = methods.filter((method) => titleOf(method) in requests);
    expect(reads).to.have.length(Object.keys(requests).length);
    for (const method of reads) {
      const request = requests[titleOf(method)]?.(session) ?? {};
      await client.call(methodOf(method), mine.apiKey, request);
    }
    flood.letGo();
    await Promise.all(floods);
  });

  it('have one place for each application while several are active', async () => {
    const { source } = harness;
    await list(mine);
    const flood = holdBack(source);
    const floods = times(20, () => list(source));
    await flood.held(1);
    await reading(harness.server.metricsPort, 'session_import_line_calls', { line: 'reads' }, 19);
    flood.letGo();
    await Promise.all(floods);
  });

  it('of one line hold up neither the other, nor imports, nor the record of refused ones', async () => {
    const { db, source, target, client, signer } = harness;
    const shared = await createSession(db, source, 'user');
    const request = {
      shareToken: await signer.share(source, target, 'user', shared),
      workflowId: target.workflows.user,
    };
    const others = await Promise.all(times(4, () => createTenant(db)));
    const flood = holdBack(...others);
    const floods = others.flatMap((tenant) => times(10, () => list(tenant)));
    await flood.held(4);

    const { shareSession, revokeShareToken } = SessionShareService;
    const share = { sessionId: session, forApplicationId: target.applicationId };
    await client.call(shareSession, mine.apiKey, ShareSessionRequest.fromPartial(share));
    const target1 = { target: { $case: 'sessionId', value: session } } as const;
    const { revoked } = await client.call(revokeShareToken, mine.apiKey, target1);
    expect(revoked).to.equal(1);
    await client.import(target.apiKey, request);
    expect(await endings([client.import(target.apiKey, request)])).to.deep.equal([
      'SESSION_ALREADY_IMPORTED',
    ]);
    const refusals = await db('import_refusals').where({
      application_id: toBinary(target.applicationId),
    });
    expect(refusals).to.have.length(1);
    flood.letGo();
    await Promise.all(floods);
  });

  it('leave their line when they are given up, and ask the database nothing', async () => {
    const { db, server } = harness;
    const others = await Promise.all(times(4, () => createTenant(db)));
    const flood = holdBack(...others);
    const floods = others.map((tenant) => list(tenant));
    await flood.held(4);
    const asked: string[] = [];
    const { intercept } = harness.proxy;
    harness.proxy.intercept = (statement) => {
      asked.push(statement.sql);
      return intercept?.(statement);
    };
    const giveUp = new AbortController();
    const call = endings([list(mine, giveUp.signal)]);
    await reading(server.metricsPort, 'session_import_line_calls', { line: 'reads' }, 1);
    giveUp.abort();
    await reading(server.metricsPort, 'session_import_line_calls', { line: 'reads' }, 0);
    flood.letGo();
    await Promise.all(floods);
    expect(await call).to.deep.equal(['CANCELLED']);
    expect(asked.filter((sql) => sql.includes(written(mine.applicationId)))).to.deep.equal([]);
  });

  it('make no share token if they are given up before it is recorded', async () => {
    const { db, client, target, proxy } = harness;
    const held = proxy.holdBack(written(target.applicationId));
    const giveUp = new AbortController();
    const call = endings([
      client.call(
        SessionShareService.shareSession,
        mine.apiKey,
        ShareSessionRequest.fromPartial({
          sessionId: session,
          forApplicationId: target.applicationId,
        }),
        { signal: giveUp.signal },
      ),
    ]);
    await held.came;
    giveUp.abort();
    expect(await call).to.deep.equal(['CANCELLED']);
    // On the same connection: the service has read the cancellation before it answers this.
    await list(mine);
    held.letGo();
    await harness.logged(() =>
      harness.logLines.some((line) => /ShareSession.*CANCELLED/.test(line)),
    );
    expect(await db('share_tokens').where({ session_id: toBinary(session) })).to.deep.equal([]);
  });

  it('are read on connections that have a time limit', async () => {
    const begun = new Set<number>();
    const limited = new Set<number>();
    const unlimited: string[] = [];
    harness.proxy.intercept = (statement) => {
      const { sql, connectionId } = statement;
      if (sql.startsWith('SET SESSION')) begun.add(connectionId);
      if (/max_execution_time = [1-9]/.test(sql)) limited.add(connectionId);
      if (!sql.includes(written(mine.applicationId))) return;
      // The service has opened one connection at its start. The test sees the next one from its beginning.
      if (!begun.has(connectionId)) statement.cut();
      else if (!limited.has(connectionId)) unlimited.push(sql);
    };
    for (const method of methods.filter((each) => titleOf(each) in requests)) {
      const request = requests[titleOf(method)]?.(session) ?? {};
      await harness.client.call(methodOf(method), mine.apiKey, request);
    }
    expect(limited.size).to.be.greaterThan(0);
    expect(unlimited).to.deep.equal([]);
  });
});

describe('a read that takes too long', () => {
  it('is stopped by the server, told so, and not tried again', async () => {
    const db = openTextDatabase({
      url: databaseUrl(),
      poolSize: 1,
      lockWaitSeconds: 1,
      statementSeconds: 0.05,
    });
    let tries = 0;
    const line = lineOfReads(
      db,
      createRetry(() => undefined),
      new CallerMix(),
    );
    const { signal } = new AbortController();
    const endless = select(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
       SELECT COUNT(*) FROM n a, n b, n c, n d`,
      [],
    );
    const failure = await line
      .run(newId(), signal, (reads) => {
        tries++;
        return read(reads, endless);
      })
      .then(() => undefined, toServiceError);
    await db.destroy();
    expect(failure?.problem.reason).to.equal('DATABASE_TOO_SLOW');
    expect(tries).to.equal(1);
  });
});
