import { expect } from 'chai';
import { v4 as uuid } from 'uuid';
import { fromBinary, toBinary, toId, type SessionId } from '../../src/model/ids';
import type { ImportSessionRequest } from '../../src/gen/sessionimport/v1/session_import';
import {
  SessionShareService,
  ShareSessionRequest,
} from '../../src/gen/sessionimport/v1/session_share';
import { kindSchemas } from '../../src/model/relations';
import { sessionKinds, type SessionKind } from '../../src/model/session';
import { endings, failureOf, sessionOf } from '../support/client';
import { copiesIn, createCompany, keyPeopleOf, requestWithLinked } from '../support/companies';
import { addLogs, createSession, createTenant, type Tenant } from '../support/fixtures';
import { rowLockWaits } from '../support/rows';
import { startHarness, startProxiedHarness, type ProxiedHarness } from '../support/service';

describe('a session that somebody holds', () => {
  let harness: ProxiedHarness;
  let other: Tenant;
  const groupRows = 20;
  // With one worker, a call that holds it up would hold up all others.
  beforeEach(() => start(1));
  afterEach(() => harness.stop());

  async function start(workers: number): Promise<void> {
    harness = await startProxiedHarness({
      // Nobody gives up a lock within the tests.
      DATABASE_LOCK_WAIT: '20',
      DATABASE_SILENCE: '60',
      IMPORT_WORKERS: String(workers),
      IMPORT_GROUP_ROWS: String(groupRows),
    });
    other = await createTenant(harness.db);
  }

  type Request = Partial<ImportSessionRequest>;

  const importing = (tenant: Tenant, request: Request) =>
    harness.client.import(tenant.apiKey, request);

  async function requestFor(tenant: Tenant, kind: SessionKind, id: SessionId): Promise<Request> {
    const { signer, source } = harness;
    const shareToken = await signer.share(source, tenant, kind, id);
    return { shareToken, workflowId: tenant.workflows[kind] };
  }

  const withLinked = (tenant: Tenant, company: SessionId) =>
    requestWithLinked({ ...harness, target: tenant }, company);

  const newSession = (kind: SessionKind) => createSession(harness.db, harness.source, kind);

  /** Locks sessions exclusively, like somebody who changes them. Returns what releases them. */
  async function hold(kind: SessionKind, ...ids: SessionId[]): Promise<() => Promise<void>> {
    const writer = await harness.db.transaction();
    await writer(kindSchemas[kind].sessions).whereIn('id', ids.map(toBinary)).forUpdate();
    return async () => {
      await writer.commit();
    };
  }

  /** Gives a session to another application, in a transaction that the caller ends. */
  async function giveAway(kind: SessionKind, id: SessionId) {
    const writer = await harness.db.transaction();
    await writer(kindSchemas[kind].sessions)
      .where({ id: toBinary(id) })
      .update({
        application_id: toBinary(other.applicationId),
        workflow_id: toBinary(other.workflows[kind]),
        session_number: 900_000,
      });
    return writer;
  }

  /** Makes calls that wait for a lock, and tells how many have ended and how. */
  async function stuck(calls: readonly Promise<unknown>[], waiting = 1) {
    let ended = 0;
    const results = endings(
      calls.map((call) =>
        call.finally(() => {
          ended++;
        }),
      ),
    );
    await rowLockWaits(waiting);
    return { results, ended: () => ended };
  }

  for (const kind of sessionKinds) {
    it(`holds up nobody who asks for another, whatever the calls ask for (${kind})`, async () => {
      const { target } = harness;
      const ways = [{}, { validateOnly: true }, { requestId: uuid() }, { vendorData: 'Ana' }];
      const locked = await newSession(kind);
      const letGo = await hold(kind, locked);
      const asking = await requestFor(target, kind, locked);
      const { results, ended } = await stuck(
        [...ways, ...ways].map((way) => importing(target, { ...asking, ...way })),
      );

      const others = await Promise.all(
        ways.map(async (way) => ({
          ...(await requestFor(other, kind, await newSession(kind))),
          ...way,
        })),
      );
      const answers = await endings(others.map((request) => importing(other, request)));
      expect(answers).to.deep.equal(['OK', 'OK', 'OK', 'OK']);
      expect(ended()).to.equal(0);

      await letGo();
      const outcomes = await results;
      // Of each four, the second is only validated: it may come before the one that is imported.
      const imports = [0, 2, 3, 4, 6, 7].map((index) => outcomes[index]);
      expect(imports).to.include('OK');
      expect(await copiesIn(target, locked)).to.have.length(1);
      for (const outcome of outcomes) {
        expect(outcome).to.be.oneOf(['OK', 'SESSION_ALREADY_IMPORTED']);
      }
    });

    it(`is imported when it is let go, also if it is a large one (${kind})`, async () => {
      const { db, target } = harness;
      const locked = await newSession(kind);
      await addLogs(db, kind, locked, groupRows);
      const letGo = await hold(kind, locked);
      const request = await requestFor(target, kind, locked);
      const { results } = await stuck([importing(target, request)]);
      await letGo();
      expect(await results).to.deep.equal(['OK']);
      expect(await copiesIn(target, locked)).to.have.length(1);
    });

    it(`is not found if it was deleted by whoever held it (${kind})`, async () => {
      const { db, target } = harness;
      const locked = await newSession(kind);
      const writer = await db.transaction();
      await writer(kindSchemas[kind].sessions)
        .where({ id: toBinary(locked) })
        .delete();
      const request = await requestFor(target, kind, locked);
      const { results } = await stuck([importing(target, request)]);
      await writer.commit();
      expect(await results).to.deep.equal(['SOURCE_SESSION_NOT_FOUND']);
    });

    it(`is not found if whoever held it gave it to another application (${kind})`, async () => {
      const { target } = harness;
      const locked = await newSession(kind);
      const writer = await giveAway(kind, locked);
      const request = await requestFor(target, kind, locked);
      const { results } = await stuck([importing(target, request)]);
      await writer.commit();
      expect(await results).to.deep.equal(['SOURCE_SESSION_NOT_FOUND']);
      expect(await copiesIn(target, locked)).to.deep.equal([]);
    });

    it(`is not waited for by a call that is answered from the ledger (${kind})`, async () => {
      const { target } = harness;
      const imported = await newSession(kind);
      const request = { ...(await requestFor(target, kind, imported)), requestId: uuid() };
      const made = sessionOf(await importing(target, request));
      const letGo = await hold(kind, imported);
      expect(sessionOf(await importing(target, request))).to.deep.equal(made);
      const other = importing(target, { ...request, requestId: uuid() });
      expect(await endings([other])).to.deep.equal(['SESSION_ALREADY_IMPORTED']);
      await letGo();
    });
  }

  it('of a key person is left out if it was given to another application meanwhile', async () => {
    const { db, source, target } = harness;
    const [person, colleague] = [await newSession('user'), await newSession('user')];
    const company = await createCompany(db, source, [person, colleague]);
    const writer = await giveAway('user', person);
    const { results } = await stuck([importing(target, await withLinked(target, company))]);
    await writer.commit();
    expect(await results).to.deep.equal(['OK']);
    expect(await copiesIn(target, colleague)).to.have.length(1);
    expect(await copiesIn(target, person)).to.deep.equal([]);
  });

  it('is not waited for by a call that waited before, if another process has imported it meanwhile', async () => {
    const { target, signer } = harness;
    const elsewhere = await startHarness({ signer });
    const busy = [await newSession('user'), await newSession('user')];
    const wanted = await newSession('user');
    const letBusyGo = await hold('user', ...busy);
    const letGo = await hold('user', wanted);
    // They take all places where an application can wait.
    const requests = await Promise.all(busy.map((id) => requestFor(target, 'user', id)));
    const { results } = await stuck(
      requests.map((each) => importing(target, each)),
      2,
    );
    const request = { ...(await requestFor(target, 'user', wanted)), requestId: uuid() };
    const waiting = importing(target, request);
    await harness.queued(1);
    await letGo();
    const made = sessionOf(await elsewhere.client.import(target.apiKey, request));
    const letWantedGo = await hold('user', wanted);
    await letBusyGo();
    expect(sessionOf(await waiting)).to.deep.equal(made);
    expect(await results).to.deep.equal(['OK', 'OK']);
    await letWantedGo();
    await elsewhere.stop();
  });

  it('holds up no other company with its people, if it is that of a key person', async () => {
    const { db, source, target } = harness;
    const person = await newSession('user');
    const company = await createCompany(db, source, [await newSession('user'), person]);
    const theirs = await createCompany(db, source, [await newSession('user')]);
    const letGo = await hold('user', person);
    const asking = await withLinked(target, company);
    const { results, ended } = await stuck([
      importing(target, asking),
      importing(target, { ...asking, validateOnly: true }),
    ]);
    const answer = await importing(other, await withLinked(other, theirs));
    expect(answer.linkedSessions).to.have.length(1);
    expect(ended()).to.equal(0);
    await letGo();
    expect((await results)[0]).to.equal('OK');
    expect(await copiesIn(target, person)).to.have.length(1);
  });

  it('holds up no other company, if it is the copy that a key person is pointed at', async () => {
    const { db, source, target } = harness;
    const person = await newSession('user');
    const copy = sessionOf(await importing(target, await requestFor(target, 'user', person)));
    const company = await createCompany(db, source, [person]);
    const theirs = await createCompany(db, source, [await newSession('user')]);
    const letGo = await hold('user', toId(copy.sessionId));
    const request = await withLinked(target, company);
    const { results, ended } = await stuck([importing(target, request)]);
    await importing(other, await withLinked(other, theirs));
    expect(ended()).to.equal(0);
    await letGo();
    expect(await results).to.deep.equal(['OK']);
    const [made] = await copiesIn(target, company);
    const people = await keyPeopleOf(fromBinary(made?.['id'] as Buffer));
    expect(people.map((each) => each['kyc_session_id'])).to.deep.equal([
      toBinary(toId(copy.sessionId)),
    ]);
  });

  it('leaves other applications room to wait, however many held sessions one application asks for', async () => {
    const { target } = harness;
    const many = await Promise.all(Array.from({ length: 6 }, () => newSession('user')));
    const one = await newSession('user');
    const letManyGo = await hold('user', ...many);
    const letOneGo = await hold('user', one);
    const asking = await Promise.all(many.map((id) => requestFor(target, 'user', id)));
    const { results, ended } = await stuck(
      asking.map((request) => importing(target, request)),
      2,
    );
    const answer = importing(other, await requestFor(other, 'user', one));
    await rowLockWaits(3);
    await letOneGo();
    expect(sessionOf(await answer).sharedFromSession).to.equal(one);
    expect(ended()).to.equal(0);
    await letManyGo();
    expect(new Set(await results)).to.deep.equal(new Set(['OK']));
  });

  it('is not waited for by a call whose caller has gone before its turn', async () => {
    const { target, client } = harness;
    const locked = await newSession('user');
    const letGo = await hold('user', locked);
    const request = await requestFor(target, 'user', locked);
    const { results } = await stuck([importing(target, { ...request, validateOnly: true })]);
    const controller = new AbortController();
    const given = endings([client.import(target.apiKey, request, { signal: controller.signal })]);
    await harness.queued(1);
    controller.abort();
    expect(await given).to.deep.equal(['CANCELLED']);
    await harness.queued(0);
    await letGo();
    expect(await results).to.deep.equal(['OK']);
    expect(await copiesIn(target, locked)).to.deep.equal([]);
  });

  it('is given to a revocation that waits before imports that come later, which then see it', async () => {
    await harness.stop();
    await start(2);
    const { source, target, client, proxy } = harness;
    const original = await newSession('user');
    const share = async ({ applicationId: forApplicationId }: Tenant): Promise<string> => {
      const request = ShareSessionRequest.fromPartial({ sessionId: original, forApplicationId });
      const { shareSession } = SessionShareService;
      return (await client.call(shareSession, source.apiKey, request)).shareToken;
    };
    const [first, later] = [await share(target), await share(other)];
    const { came, letGo } = proxy.holdBack(/INTO session_imports/);
    const imported = importing(target, {
      shareToken: first,
      workflowId: target.workflows.user,
    });
    await came;
    const revoked = client.call(SessionShareService.revokeShareToken, source.apiKey, {
      target: { $case: 'sessionId', value: original },
    });
    await rowLockWaits(1);
    const tooLate = failureOf(
      importing(other, { shareToken: later, workflowId: other.workflows.user }),
    );
    await rowLockWaits(2);
    letGo();
    expect(await imported).to.have.property('session');
    expect(await revoked).to.deep.equal({ revoked: 2, redeemed: 1 });
    expect((await tooLate).reason).to.equal('SHARE_TOKEN_REVOKED');
  });

  for (const committed of [true, false]) {
    it(`does not cost a call its answer if the connection is lost in a COMMIT that ${committed ? 'succeeds' : 'fails'}`, async () => {
      const { db, target, proxy } = harness;
      const original = await newSession('user');
      const request = await requestFor(target, 'user', original);
      const claiming = new Set<number>();
      const writer = await db.transaction();
      let held: Promise<unknown> | undefined;
      let waits: Promise<void> | undefined;
      let end: (() => Promise<unknown>) | undefined;
      let looked = false;
      proxy.intercept = async (statement) => {
        const { sql, connectionId } = statement;
        if (sql.includes('INTO session_imports')) claiming.add(connectionId);
        if (!end && sql.startsWith('COMMIT') && claiming.has(connectionId)) {
          const finish = statement.orphan();
          end = committed ? finish : () => db.raw('KILL ?', [connectionId]);
          // This lock waits for the try that is in its COMMIT, and the next try would wait behind the lock.
          held = writer('user_sessions')
            .where({ id: toBinary(original) })
            .forUpdate()
            .then(() => undefined);
          waits = rowLockWaits();
        } else if (end && /FROM session_imports[^]*LOCK IN SHARE MODE/.test(sql) && !looked) {
          looked = true;
          await waits;
          await end();
          await held;
        }
      };
      const answer = importing(target, request);
      if (!committed) {
        await harness.logged(() => harness.logLines.some((line) => line.includes('"locked":1')));
        await rowLockWaits();
        await writer.commit();
      }
      const { sessionId } = sessionOf(await answer);
      expect(looked).to.equal(true);
      if (committed) await writer.commit();
      const copies = await copiesIn(target, original);
      expect(copies.map(({ id }) => id)).to.deep.equal([toBinary(toId(sessionId))]);
    });
  }
});
