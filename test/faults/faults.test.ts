import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import * as fc from 'fast-check';
import { createConnection } from 'mysql2/promise';
import { fromBinary, toBinary, toId, type SessionId } from '../../src/model/ids';
import { kindSchemas } from '../../src/model/relations';
import { sessionKinds, type SessionKind } from '../../src/model/session';
import type { ImportSessionResponse } from '../../src/gen/sessionimport/v1/session_import';
import { endings, failureOf, rowsOf, sessionOf } from '../support/client';
import { addLogs, createSession, createTenant } from '../support/fixtures';
import { databaseUrl } from '../support/mysql';
import type { MysqlProxy, Passing } from '../support/mysql-proxy';
import { anyRelations, insertRelations, type RandomRelations } from '../support/random-session';
import { rowCounts, rowLockWaits, select, tableLockWaits, tableRows } from '../support/rows';
import { startProxiedHarness, type ProxiedHarness } from '../support/service';

const logs = 5;

describe('when the connection to MySQL is killed', () => {
  let proxy: MysqlProxy;
  let harness: ProxiedHarness;
  before(async () => {
    harness = await startProxiedHarness();
    proxy = harness.proxy;
    // The first import leases session numbers, in a transaction of its own.
    const { request } = await sharedSession('user');
    await harness.client.import(harness.target.apiKey, request);
  });
  after(() => harness.stop());
  const atEnd: (() => Promise<void>)[] = [];
  afterEach(async () => {
    proxy.intercept = undefined;
    await Promise.all(atEnd.splice(0).map((work) => work()));
  });

  async function sharedSession(kind: SessionKind, relations?: RandomRelations) {
    const { db, source, target, signer } = harness;
    const original = await createSession(db, source, kind);
    if (relations) await insertRelations(db, kind, original, relations);
    else await addLogs(db, kind, original, logs);
    const shareToken = await signer.share(source, target, kind, original);
    const request = {
      shareToken,
      workflowId: target.workflows[kind],
      vendorData: `somebody ${original}`,
    };
    return { original, request };
  }

  const kill = async (connectionId: number): Promise<void> => {
    await harness.db.raw('KILL ?', [connectionId]);
  };

  /** The import's own transactions, and not the health check or the look-up of a key. */
  function inTransactions(act: (statement: Passing, index: number) => Promise<void>) {
    let open = false;
    let index = 0;
    proxy.intercept = async (statement) => {
      if (statement.sql.startsWith('BEGIN')) open = true;
      if (open) await act(statement, index++);
    };
  }

  /** The first connection to send a statement that writes to a table, once it waits there. */
  async function firstToWriteTo(table: string): Promise<number> {
    const { connectionId } = await proxy.passing(new RegExp(`INTO .?${table}\\b`));
    await tableLockWaits();
    return connectionId;
  }

  async function expectOneWholeCopy(
    kind: SessionKind,
    original: SessionId,
    response: ImportSessionResponse,
  ): Promise<void> {
    const copies = await copiesOf(kind, original);
    expect(copies).to.have.length(1);
    const copy = toId<SessionId>(sessionOf(response).sessionId);
    expect(copies[0]?.['id']).to.deep.equal(toBinary(copy));
    const table = kindSchemas[kind].logs;
    const from = await tableRows(table, original);
    expect((await tableRows(table, copy)).slice(0, -1)).to.deep.equal(from);
    expect(rowsOf(response)).to.deep.equal({ logs });
  }

  async function expectNoTrace(kind: SessionKind, original: SessionId): Promise<void> {
    expect(await copiesOf(kind, original)).to.deep.equal([]);
    const ledger = 'SELECT * FROM session_imports WHERE source_session_id = ?';
    expect(await select(ledger, [toBinary(original)])).to.deep.equal([]);
    const entities = 'SELECT * FROM ?? WHERE vendor_data = ?';
    expect(
      await select(entities, [
        kindSchemas[kind].vendorEntities,
        Buffer.from(`somebody ${original}`),
      ]),
    ).to.deep.equal([]);
  }

  const copiesOf = (kind: SessionKind, original: SessionId) =>
    select('SELECT id FROM ?? WHERE shared_from_session_id = ?', [
      kindSchemas[kind].sessions,
      toBinary(original),
    ]);

  for (const kind of sessionKinds) {
    it(`before any statement of a ${kind} import, the next try succeeds`, async () => {
      const statements: string[] = [];
      const measured = await sharedSession(kind);
      inTransactions((statement) => {
        statements.push(statement.sql);
        return Promise.resolve();
      });
      await harness.client.import(harness.target.apiKey, measured.request);
      // The minimum: BEGIN, the facts and the lock, the claim and the copy, COMMIT.
      expect(statements.length).to.be.at.least(4);

      for (const victim of statements.keys()) {
        const { original, request } = await sharedSession(kind);
        inTransactions(async ({ connectionId }, index) => {
          if (index === victim) await kill(connectionId);
        });
        const response = await harness.client.import(harness.target.apiKey, request);
        await expectOneWholeCopy(kind, original, response);
      }
    });

    it(`before any statement of a group of many ${kind} imports, the next try succeeds`, async () => {
      for (let victim = 0; victim < 4; victim++) {
        const shared = await Promise.all(Array.from({ length: 10 }, () => sharedSession(kind)));
        const killed = new Set<number>();
        const position = new Map<number, number>();
        proxy.intercept = async ({ sql, connectionId }) => {
          if (sql.startsWith('BEGIN')) position.set(connectionId, 0);
          const index = position.get(connectionId);
          if (index === undefined) return;
          position.set(connectionId, index + 1);
          if (index !== victim || killed.size === 3) return;
          killed.add(connectionId);
          await kill(connectionId);
        };
        const responses = await Promise.all(
          shared.map(({ request }) => harness.client.import(harness.target.apiKey, request)),
        );
        expect(killed.size).to.be.at.least(1);
        for (const [index, { original }] of shared.entries()) {
          const response = responses[index] ?? {
            session: undefined,
            clonedRelations: [],
            withheldRelations: [],
            linkedSessions: [],
          };
          await expectOneWholeCopy(kind, original, response);
        }
      }
    });

    it(`during a statement of a ${kind} import, the next try succeeds`, async () => {
      let transactions = 0;
      for (let victim = 0; victim < 20; victim++) {
        const { original, request } = await sharedSession(kind);
        inTransactions(({ sql, connectionId }, index) => {
          if (sql.startsWith('BEGIN')) transactions++;
          if (index === victim) void kill(connectionId);
          return Promise.resolve();
        });
        const response = await harness.client.import(harness.target.apiKey, request);
        await expectOneWholeCopy(kind, original, response);
      }
      // Some kills come too late to matter, but not all of them.
      expect(transactions).to.be.greaterThan(20);
    });

    it(`while a group of many writes to any table of a ${kind} session, the next try succeeds`, async () => {
      const { target, client } = harness;
      const { sessions, vendorEntities, relations } = kindSchemas[kind];
      const [rows] = fc.sample(await anyRelations(kind), 1);
      const blocker = await createConnection(databaseUrl());
      atEnd.push(() => blocker.end());
      for (const table of [
        'session_imports',
        vendorEntities,
        sessions,
        ...relations.map((relation) => relation.table),
      ]) {
        const shared: Awaited<ReturnType<typeof sharedSession>>[] = [];
        for (let made = 0; made < 3; made++) shared.push(await sharedSession(kind, rows));
        // Others may read the table, and whoever writes to it waits.
        await blocker.query('LOCK TABLES ?? READ', [table]);
        const stuck = firstToWriteTo(table);
        const answers = shared.map(({ request }) => client.import(target.apiKey, request));
        await kill(await stuck);
        await blocker.query('UNLOCK TABLES');
        const responses = await Promise.all(answers);
        for (const [index, { original }] of shared.entries()) {
          const copies = await copiesOf(kind, original);
          expect(copies, table).to.have.length(1);
          const copied = await rowCounts(kind, fromBinary(copies[0]?.['id'] as Buffer));
          const counts = Object.fromEntries(
            relations.map((relation) => [
              relation.name,
              (copied[relation.table] ?? 0) - (relation.name === 'logs' ? 1 : 0),
            ]),
          );
          const response = responses[index] ?? {
            session: undefined,
            clonedRelations: [],
            withheldRelations: [],
            linkedSessions: [],
          };
          expect(rowsOf(response), table).to.deep.equal(counts);
          const expected = relations.map((relation) => rows?.[relation.table]?.length);
          expect(Object.values(counts), table).to.deep.equal(expected);
        }
      }
    });
  }

  it('in COMMIT, and the answer to it is lost, the call is answered from what was committed', async () => {
    for (const kind of sessionKinds) {
      const { original, request } = await sharedSession(kind);
      let commits = 0;
      const importing = new Set<number>();
      inTransactions(async (statement) => {
        if (statement.sql.includes('session_imports')) importing.add(statement.connectionId);
        // Session numbers are leased in transactions of their own, if it is their time.
        if (!statement.sql.startsWith('COMMIT')) return;
        if (!importing.delete(statement.connectionId)) return;
        commits++;
        if (commits > 1) return;
        await statement.answered();
        await kill(statement.connectionId);
        statement.cut();
      });
      const response = await harness.client.import(harness.target.apiKey, request);
      expect(commits).to.equal(2);
      await expectOneWholeCopy(kind, original, response);
    }
  });

  it('while COMMIT is on its way, there is one whole copy, whoever is faster', async () => {
    for (let run = 0; run < 15; run++) {
      const { original, request } = await sharedSession('user');
      let commits = 0;
      inTransactions((statement) => {
        if (statement.sql.startsWith('COMMIT') && ++commits === 1)
          void kill(statement.connectionId);
        return Promise.resolve();
      });
      const response = await harness.client.import(harness.target.apiKey, request);
      await expectOneWholeCopy('user', original, response);
    }
  });

  it('every time, the call fails, may be repeated, and leaves no trace', async () => {
    for (const kind of sessionKinds) {
      const { original, request } = await sharedSession(kind);
      inTransactions(async ({ sql, connectionId }) => {
        if (sql.startsWith('COMMIT')) await kill(connectionId);
      });
      const failure = await failureOf(harness.client.import(harness.target.apiKey, request));
      expect(failure).to.include({ code: 'UNAVAILABLE', reason: 'DATABASE_UNAVAILABLE' });
      expect(failure.retry?.retryDelay).to.deep.equal({ seconds: 1, nanos: 0 });
      proxy.intercept = undefined;
      await expectNoTrace(kind, original);
      const response = await harness.client.import(harness.target.apiKey, request);
      await expectOneWholeCopy(kind, original, response);
    }
  });

  it('in COMMIT, which ends while the next try is under way, the call is not refused for what came after', async () => {
    const { original, request } = await sharedSession('user');
    let finishCommit: (() => Promise<void>) | undefined;
    let finished = false;
    inTransactions(async (statement) => {
      if (!finishCommit && statement.sql.startsWith('COMMIT')) {
        finishCommit = statement.orphan();
      } else if (finishCommit && !finished && statement.sql.includes('LOCK IN SHARE MODE')) {
        // The next try has looked at the ledger: now the first one is committed, and the original
        // changed.
        finished = true;
        await finishCommit();
        await harness
          .db('user_sessions')
          .where({ id: toBinary(original) })
          .update({ status: 'Resubmitted' });
      }
    });
    const response = await harness.client.import(harness.target.apiKey, request);
    await expectOneWholeCopy('user', original, response);
  });

  it('in COMMIT, which ends after all tries, the call is told to ask again', async () => {
    const { original, request } = await sharedSession('user');
    let finishCommit: (() => Promise<void>) | undefined;
    inTransactions((statement) => {
      if (finishCommit) statement.cut();
      else if (statement.sql.startsWith('COMMIT')) finishCommit = statement.orphan();
      return Promise.resolve();
    });
    const failure = await failureOf(harness.client.import(harness.target.apiKey, request));
    expect(failure).to.include({ code: 'UNAVAILABLE', reason: 'DATABASE_UNAVAILABLE' });
    proxy.intercept = undefined;
    await finishCommit?.();
    const again = await failureOf(harness.client.import(harness.target.apiKey, request));
    expect(again.reason).to.equal('SESSION_ALREADY_IMPORTED');
    const copies = await copiesOf('user', original);
    expect(copies.map(({ id }) => fromBinary(id as Buffer))).to.deep.equal([
      again.metadata['session_id'],
    ]);
  });

  it('in COMMIT of a group of many, every call of the group is answered once, and rightly', async () => {
    const shared = await Promise.all(Array.from({ length: 40 }, () => sharedSession('user')));
    let lost = 0;
    proxy.intercept = async (statement) => {
      if (!statement.sql.startsWith('COMMIT') || lost >= 3) return;
      lost++;
      await statement.answered();
      statement.cut();
    };
    const responses = await Promise.all(
      shared.map(({ request }) => harness.client.import(harness.target.apiKey, request)),
    );
    expect(lost).to.equal(3);
    for (const [index, { original }] of shared.entries()) {
      const response = responses[index] ?? {
        session: undefined,
        clonedRelations: [],
        withheldRelations: [],
        linkedSessions: [],
      };
      await expectOneWholeCopy('user', original, response);
    }
    const again = await endings(
      shared.map(({ request }) => harness.client.import(harness.target.apiKey, request)),
    );
    expect(new Set(again)).to.deep.equal(new Set(['SESSION_ALREADY_IMPORTED']));
  });
});

describe('when MySQL', () => {
  let proxy: MysqlProxy;
  let harness: ProxiedHarness;
  beforeEach(async () => {
    harness = await startProxiedHarness({
      DATABASE_LOCK_WAIT: '1',
      DATABASE_SILENCE: '2',
      IMPORT_WORKERS: '1',
      IMPORT_QUEUE_LIMIT: '3',
      SHUTDOWN_GRACE: '1',
    });
    proxy = harness.proxy;
  });
  afterEach(() => harness.stop());

  const request = async (original: SessionId) => ({
    shareToken: await harness.signer.share(harness.source, harness.target, 'user', original),
    workflowId: harness.target.workflows.user,
  });

  it('is gone, a call fails as UNAVAILABLE and says when to try again', async () => {
    const { db, source, target, client } = harness;
    const wanted = await request(await createSession(db, source, 'user'));
    proxy.close();
    const failure = await failureOf(client.import(target.apiKey, wanted));
    expect(failure).to.include({ code: 'UNAVAILABLE', reason: 'DATABASE_UNAVAILABLE' });
    expect(failure.retry?.retryDelay).to.deep.equal({ seconds: 1, nanos: 0 });
  });

  it('holds the source session locked for long, the call fails as ABORTED and leaves no trace', async () => {
    const { db, source, target, client } = harness;
    const original = await createSession(db, source, 'user');
    const wanted = await request(original);
    await db.transaction(async (writer) => {
      await writer('user_sessions')
        .where({ id: toBinary(original) })
        .forUpdate();
      const failure = await failureOf(client.import(target.apiKey, wanted));
      expect(failure).to.include({ code: 'ABORTED', reason: 'CONFLICT' });
      expect(failure.retry?.retryDelay).to.deep.equal({ seconds: 0, nanos: 500_000_000 });
    });
    const ledger = 'SELECT * FROM session_imports WHERE source_session_id = ?';
    expect(await select(ledger, [toBinary(original)])).to.deep.equal([]);
    expect(await client.import(target.apiKey, wanted)).to.have.property('session');
  });

  it('makes the import lose a deadlock, the next try succeeds', async () => {
    const { db, source, target, client } = harness;
    const original = await createSession(db, source, 'user');
    const wanted = await request(original);
    const rival = await db.transaction();
    // The rival stands in the ledger first, and has changed more rows: InnoDB spares it.
    const entry = {
      application_id: toBinary(target.applicationId),
      source_application_id: toBinary(source.applicationId),
      session_kind: 'user',
      source_status: 'Approved',
      trust_review: false,
      api_key_id: randomBytes(16),
      created_at: new Date(),
    };
    await rival('session_imports').insert(
      Array.from({ length: 20 }, (_, index) => ({
        ...entry,
        source_session_id: index === 0 ? toBinary(original) : randomBytes(16),
        session_id: randomBytes(16),
        token_digest: randomBytes(32),
      })),
    );
    let claims = 0;
    let rivalEnded: Promise<void> = Promise.resolve();
    proxy.intercept = async ({ sql }) => {
      if (!sql.includes('INTO session_imports') || ++claims > 1) return;
      const locked = rival('user_sessions')
        .where({ id: toBinary(original) })
        .forUpdate();
      rivalEnded = locked.then(async () => {
        await rival.rollback();
      });
      await rowLockWaits();
    };
    expect(await client.import(target.apiKey, wanted)).to.have.property('session');
    await rivalEnded;
    expect(claims).to.equal(2);
  });

  it('holds one session of a group locked, its neighbours are imported', async () => {
    const { db, source, target, client } = harness;
    const originals = await Promise.all(
      Array.from({ length: 3 }, () => createSession(db, source, 'user')),
    );
    const wanted = await Promise.all(originals.map(request));
    const [locked] = originals;
    if (!locked) throw new Error('no session');
    await db.transaction(async (writer) => {
      await writer('user_sessions')
        .where({ id: toBinary(locked) })
        .forUpdate();
      const results = await endings(wanted.map((one) => client.import(target.apiKey, one)));
      expect(results.toSorted()).to.deep.equal(['CONFLICT', 'OK', 'OK']);
    });
  });

  it('holds what one application of a group needs, the others’ sessions are imported', async () => {
    const { db, source, target, signer, client } = harness;
    const other = await createTenant(db);
    const wanted = await request(await createSession(db, source, 'user'));
    const original = await createSession(db, source, 'user');
    const others = {
      shareToken: await signer.share(source, other, 'user', original),
      workflowId: other.workflows.user,
    };
    await db.transaction(async (writer) => {
      await writer('applications')
        .where({ id: toBinary(target.applicationId) })
        .forUpdate();
      const results = await endings([
        client.import(target.apiKey, wanted),
        client.import(other.apiKey, others),
      ]);
      expect(results).to.deep.equal(['CONFLICT', 'OK']);
    });
  });

  it('holds many sessions of one application locked, another application is served', async () => {
    const { db, source, target, signer, client } = harness;
    const originals = await Promise.all(
      Array.from({ length: 3 }, () => createSession(db, source, 'user')),
    );
    const wanted = await Promise.all(originals.map(request));
    const other = await createTenant(db);
    const free = await createSession(db, source, 'user');
    const others = {
      shareToken: await signer.share(source, other, 'user', free),
      workflowId: other.workflows.user,
    };
    await db.transaction(async (writer) => {
      await writer('user_sessions').whereIn('id', originals.map(toBinary)).forUpdate();
      const begun = proxy.passing('LOCK IN SHARE MODE');
      const stuck = endings(wanted.map((one) => client.import(target.apiKey, one)));
      await begun;
      expect(await client.import(other.apiKey, others)).to.have.property('session');
      expect(await stuck).to.deep.equal(['CONFLICT', 'CONFLICT', 'CONFLICT']);
    });
  });

  it('holds a session locked that many calls want, callers of others are served', async () => {
    const { db, source, target, signer, client } = harness;
    const locked = await createSession(db, source, 'user');
    const wanted = await request(locked);
    const other = await createTenant(db);
    const original = await createSession(db, source, 'user');
    await db.transaction(async (writer) => {
      await writer('user_sessions')
        .where({ id: toBinary(locked) })
        .forUpdate();
      const begun = proxy.passing('LOCK IN SHARE MODE');
      const stuck = endings(Array.from({ length: 3 }, () => client.import(target.apiKey, wanted)));
      await begun;
      const answer = await client.import(other.apiKey, {
        shareToken: await signer.share(source, other, 'user', original),
        workflowId: other.workflows.user,
      });
      expect(answer).to.have.property('session');
      expect(new Set(await stuck)).to.deep.equal(new Set(['CONFLICT']));
    });
  });

  it('does not answer any more, a call fails, and the next ones are served', async () => {
    const { db, source, target, client } = harness;
    const wanted = await request(await createSession(db, source, 'user'));
    proxy.intercept = ({ sql }) =>
      sql.startsWith('BEGIN') ? new Promise(() => undefined) : undefined;
    const failure = await failureOf(client.import(target.apiKey, wanted));
    expect(failure).to.include({ code: 'UNAVAILABLE', reason: 'DATABASE_UNAVAILABLE' });
    proxy.intercept = undefined;
    expect(await client.import(target.apiKey, wanted)).to.have.property('session');
  });

  it('hangs, a stop does not', async () => {
    const { db, source, target, client, server } = harness;
    const wanted = await request(await createSession(db, source, 'user'));
    // So that there is a connection for look-ups. The next caller is one that nobody has looked up yet.
    await client.import(target.apiKey, wanted);
    const { apiKey } = await createTenant(db);
    proxy.intercept = () => new Promise(() => undefined);
    const begun = proxy.passing('api_keys');
    const call = failureOf(client.import(apiKey, wanted));
    await begun;
    await server.stop();
    expect((await call).code).to.be.oneOf(['UNAVAILABLE', 'CANCELLED']);
  });

  it('is slow, calls beyond the queue are refused as RESOURCE_EXHAUSTED', async () => {
    const { db, source, target, client } = harness;
    const original = await createSession(db, source, 'user');
    const wanted = await request(original);
    const { came, letGo } = proxy.holdBack('LOCK IN SHARE MODE');
    const first = client.import(target.apiKey, wanted);
    await came;
    const others = Array.from({ length: 5 }, () => client.import(target.apiKey, wanted));
    const settled = endings([first, ...others]);
    await harness.queued(3);
    const refused = await failureOf(client.import(target.apiKey, wanted));
    expect(refused).to.include({ code: 'RESOURCE_EXHAUSTED', reason: 'OVERLOADED' });
    expect(refused.retry?.retryDelay).to.deep.equal({ seconds: 1, nanos: 0 });
    letGo();
    expect((await settled).toSorted()).to.deep.equal([
      'OK',
      'OVERLOADED',
      'OVERLOADED',
      'SESSION_ALREADY_IMPORTED',
      'SESSION_ALREADY_IMPORTED',
      'SESSION_ALREADY_IMPORTED',
    ]);
  });

  for (const way of ['deadline', 'cancellation'] as const) {
    it(`is slow, a call given up by ${way} while it waits writes nothing`, async () => {
      const { db, source, target, client } = harness;
      const blocker = await createSession(db, source, 'user');
      const original = await createSession(db, source, 'user');
      const blocking = await request(blocker);
      const wanted = await request(original);
      const controller = new AbortController();
      const { came, letGo } = proxy.holdBack('LOCK IN SHARE MODE');
      const first = client.import(target.apiKey, blocking);
      await came;
      const failure = failureOf(
        client.import(target.apiKey, wanted, {
          signal: controller.signal,
          ...(way === 'deadline' ? { deadline: Date.now() + 300 } : {}),
        }),
      );
      await harness.queued(1);
      if (way === 'cancellation') controller.abort();
      expect((await failure).code).to.equal(way === 'deadline' ? 'DEADLINE_EXCEEDED' : 'CANCELLED');
      letGo();
      await first;
      // Whatever still waited would be imported before, or together with this.
      await client.import(target.apiKey, await request(await createSession(db, source, 'user')));
      const ledger = 'SELECT * FROM session_imports WHERE source_session_id = ?';
      expect(await select(ledger, [toBinary(original)])).to.deep.equal([]);
    });
  }
});
