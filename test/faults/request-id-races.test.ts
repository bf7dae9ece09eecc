import { expect } from 'chai';
import { v4 as uuid } from 'uuid';
import { toBinary, type SessionId } from '../../src/model/ids';
import type { ImportSessionRequest } from '../../src/gen/sessionimport/v1/session_import';
import { endings, failureOf, sessionOf, TestClient } from '../support/client';
import { copiesIn } from '../support/companies';
import { addLogs, createSession } from '../support/fixtures';
import { without } from '../support/helpers';
import { scrape, sumOf } from '../support/metrics';
import { ServiceProcess } from '../support/process';
import { rowLockWaits } from '../support/rows';
import { startHarness, startProxiedHarness, type ProxiedHarness } from '../support/service';

type Request = Partial<ImportSessionRequest> & { readonly requestId: string };

describe('requests with ids that meet', () => {
  let harness: ProxiedHarness;
  afterEach(() => harness.stop());

  async function start(workers: number): Promise<void> {
    harness = await startProxiedHarness({
      IMPORT_WORKERS: String(workers),
      DATABASE_LOCK_WAIT: '5',
      DATABASE_SILENCE: '10',
    });
  }

  async function requestFor(original: SessionId): Promise<Request> {
    const { source, target, signer } = harness;
    const shareToken = await signer.share(source, target, 'user', original);
    return { shareToken, workflowId: target.workflows.user, requestId: uuid() };
  }

  async function newSession(): Promise<SessionId> {
    const id = await createSession(harness.db, harness.source, 'user');
    await addLogs(harness.db, 'user', id, 2);
    return id;
  }

  /** Two requests with one id, for sessions of which the ledger takes the first one's entry first. */
  async function crossed(): Promise<[Request, Request]> {
    const ids = [await newSession(), await newSession()].sort() as [SessionId, SessionId];
    const [one, two] = [await requestFor(ids[0]), await requestFor(ids[1])];
    return [one, { ...two, requestId: one.requestId }];
  }

  const send = (request: Partial<ImportSessionRequest>) =>
    harness.client.import(harness.target.apiKey, request);

  const value = async (name: string, labels: Record<string, string> = {}): Promise<number> =>
    sumOf(await scrape(harness.server.metricsPort), `session_import_${name}`, labels);

  /** How some calls end that are in one group. */
  async function together(requests: readonly Partial<ImportSessionRequest>[]): Promise<string[]> {
    const { came, letGo } = harness.proxy.holdBack('LOCK IN SHARE MODE');
    const blocking = send(without(await requestFor(await newSession()), 'requestId'));
    await came;
    const calls = endings(requests.map((request) => send(request)));
    await harness.queued(requests.length);
    letGo();
    await blocking;
    return calls;
  }

  /**
   * What can come of a request, of another with its id for another session, and of one for that session
   * without that id: whoever of the first two gets the id, the third is never refused for it.
   */
  const right = [
    ['OK', 'REQUEST_ID_REUSED', 'OK'],
    ['REQUEST_ID_REUSED', 'OK', 'SESSION_ALREADY_IMPORTED'],
    // The third one's look-up was answered before the second one's.
    ['OK', 'SESSION_ALREADY_IMPORTED', 'OK'],
  ];

  it('in one group are refused for their own id alone', async () => {
    await start(1);
    const [one, two] = await crossed();
    const otherId = { ...two, requestId: uuid() };
    expect(right).to.deep.include(await together([one, two, otherId]));
  });

  it('in one group do not stand in the way of one without', async () => {
    await start(1);
    const [one, two] = await crossed();
    const nameless = without<Partial<ImportSessionRequest>>(two, 'requestId');
    expect(right).to.deep.include(await together([one, two, nameless]));
  });

  it('in one group get one answer if they are the same, and are told if they are not', async () => {
    await start(1);
    const request = await requestFor(await newSession());
    const other = { ...request, vendorData: 'Bea' };
    const results = await together([request, request, other]);
    expect(results).to.deep.equal(['OK', 'OK', 'REQUEST_ID_REUSED']);
  });

  it('in one group get the answer that another process has given, also behind one without an id', async () => {
    await start(1);
    const { proxy, signer, client, target } = harness;
    const elsewhere = await startHarness({ signer });
    const request = await requestFor(await newSession());
    const nameless = without<Partial<ImportSessionRequest>>(request, 'requestId');
    const blocking = proxy.holdBack('INTO session_imports');
    const first = send(without(await requestFor(await newSession()), 'requestId'));
    await blocking.came;
    const calls = [send(nameless), send(request)];
    const results = endings(calls);
    await harness.queued(2);
    const claim = proxy.holdBack('INTO session_imports');
    blocking.letGo();
    await first;
    await claim.came;
    const made = sessionOf(await elsewhere.client.import(target.apiKey, request));
    claim.letGo();
    expect(await results).to.deep.equal(['SESSION_ALREADY_IMPORTED', 'OK']);
    expect(sessionOf(await client.import(target.apiKey, request))).to.deep.equal(made);
    await elsewhere.stop();
  });

  it('at the same time ask for different things of one session: the second is told', async () => {
    await start(2);
    for (let round = 0; round < 10; round++) {
      const request = await requestFor(await newSession());
      const results = await endings([send(request), send({ ...request, trustReview: true })]);
      expect(results.sort()).to.deep.equal(['OK', 'REQUEST_ID_REUSED']);
    }
  });

  it('get the first one’s answer, also if the source changed in the moment between', async () => {
    await start(2);
    const { db } = harness;
    const original = await newSession();
    const request = await requestFor(original);
    const { came, letGo } = harness.proxy.holdBack('INTO session_imports');
    const first = send(request);
    await came;
    // Waits for the import's lock, and the second call behind it.
    const writer = db('user_sessions')
      .where({ id: toBinary(original) })
      .update({ status: 'In Progress' })
      .then(() => undefined);
    await rowLockWaits(1);
    const again = send(request);
    await rowLockWaits(2);
    letGo();
    await writer;
    expect(sessionOf(await again)).to.deep.equal(sessionOf(await first));
  });

  it('count as imported, once, when the answer of COMMIT was lost', async () => {
    await start(1);
    const importing = new Set<number>();
    let lost = false;
    harness.proxy.intercept = async (statement) => {
      if (statement.sql.includes('INTO session_imports')) importing.add(statement.connectionId);
      const commits = statement.sql.startsWith('COMMIT') && importing.has(statement.connectionId);
      if (lost || !commits) return;
      lost = true;
      await statement.answered();
      statement.cut();
    };
    await send(await requestFor(await newSession()));
    expect(lost).to.equal(true);
    expect(await value('imports_total', { result: 'imported' })).to.equal(1);
    expect(await value('imports_total')).to.equal(1);
    expect(await value('cloned_rows_total')).to.equal(2);
    expect(harness.logLines.join()).not.to.include('replayed');
  });

  it('are looked up again when the connection is lost', async () => {
    await start(1);
    let lookUps = 0;
    harness.proxy.intercept = (statement) => {
      if (statement.sql.includes('request_id) IN') && ++lookUps === 1) statement.cut();
    };
    expect(await endings([send(await requestFor(await newSession()))])).to.deep.equal(['OK']);
    expect(lookUps).to.equal(2);
  });

  it('are the same in whatever case their ids are written', async () => {
    await start(1);
    const request = await requestFor(await newSession());
    const made = sessionOf(await send(request));
    const shouted = {
      ...request,
      requestId: request.requestId.toUpperCase(),
      workflowId: request.workflowId?.toUpperCase() ?? '',
    };
    expect(sessionOf(await send(shouted))).to.deep.equal(made);
  });

  it('stay taken when an operator has erased what was answered', async () => {
    await start(1);
    const request = await requestFor(await newSession());
    const { sessionId } = sessionOf(await send(request));
    await harness
      .db('session_imports')
      .where({ session_id: toBinary(sessionId as SessionId) })
      .update({ answer: null, request_digest: null });
    expect(await endings([send(request)])).to.deep.equal(['REQUEST_ID_REUSED']);
  });
});

describe('a request with an id', () => {
  it('whose answer was lost with the service gets it from the next one', async () => {
    const harness = await startProxiedHarness();
    const { db, source, target, signer, proxy } = harness;
    const dying = await ServiceProcess.serve({
      DATABASE_URL: proxy.url,
      SHARE_TOKEN_JWKS: signer.jwks,
      SESSION_BASE_URL: 'https://verify.example.com/session',
    });
    const client = new TestClient(await dying.port());
    const original = await createSession(db, source, 'user');
    const request = {
      shareToken: await signer.share(source, target, 'user', original),
      workflowId: target.workflows.user,
      requestId: uuid(),
    };
    let inserted: number | undefined;
    proxy.intercept = async (statement) => {
      if (statement.sql.includes('INTO session_imports')) inserted = statement.connectionId;
      if (statement.connectionId !== inserted || !statement.sql.startsWith('COMMIT')) return;
      await statement.answered();
      dying.signal('SIGKILL');
    };
    expect((await failureOf(client.import(target.apiKey, request))).code).to.equal('UNAVAILABLE');
    proxy.intercept = undefined;
    const copies = await copiesIn(target, original);
    expect(copies).to.have.length(1);
    const session = sessionOf(await harness.client.import(target.apiKey, request));
    expect(toBinary(session.sessionId as SessionId)).to.deep.equal(copies[0]?.['id']);
    client.close();
    await harness.stop();
  });
});
