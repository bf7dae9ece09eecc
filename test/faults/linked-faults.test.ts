import { expect } from 'chai';
import { v4 as uuid } from 'uuid';
import { fromBinary, toBinary, toId, type SessionId } from '../../src/model/ids';
import type {
  ImportSessionRequest,
  ImportSessionResponse,
} from '../../src/gen/sessionimport/v1/session_import';
import { failureOf, rowsOf, sessionOf } from '../support/client';
import {
  copiesIn,
  createCompany,
  keyPeopleOf,
  ledgerOf,
  requestWithLinked,
} from '../support/companies';
import { createWorkflow } from '../../src/store/accounts';
import { addLogs, createSession } from '../support/fixtures';
import type { Passing } from '../support/mysql-proxy';
import { select, tableRows } from '../support/rows';
import { startProxiedHarness, type ProxiedHarness } from '../support/service';

const logs = 3;

/** The least round trips of an import here. */
const least = 6;

/** The statement that waits for an earlier try which is still in its COMMIT. */
const waitsForEarlierTry = /FROM session_imports[^]*LOCK IN SHARE MODE/;

describe('an import with linked sessions, when MySQL kills its connection', () => {
  let harness: ProxiedHarness;
  before(async () => {
    harness = await startProxiedHarness({ DATABASE_LOCK_WAIT: '1' });
  });
  after(() => harness.stop());
  afterEach(() => {
    harness.proxy.intercept = undefined;
  });

  interface Shared {
    readonly company: SessionId;
    /** Two to be copied, and in the middle one that was imported before. */
    readonly people: readonly [SessionId, SessionId, SessionId];
    readonly request: Partial<ImportSessionRequest>;
  }

  async function share(): Promise<Shared> {
    const { db, source, target, signer, client } = harness;
    const person = async (): Promise<SessionId> => {
      const id = await createSession(db, source, 'user');
      await addLogs(db, 'user', id, logs);
      return id;
    };
    const before = await person();
    await client.import(target.apiKey, {
      shareToken: await signer.share(source, target, 'user', before),
      workflowId: target.workflows.user,
    });
    const people = [await person(), before, await person()] as const;
    const company = await createCompany(db, source, people);
    await addLogs(db, 'business', company, logs);
    const request = {
      ...(await requestWithLinked(harness, company)),
      vendorData: `company ${company}`,
    };
    return { company, people, request };
  }

  const importing = (request: Partial<ImportSessionRequest>) =>
    harness.client.import(harness.target.apiKey, request);

  const kill = async (connectionId: number): Promise<void> => {
    await harness.db.raw('KILL ?', [connectionId]);
  };

  /** The import's own transactions, in their order, and not the look-up of a key. */
  function inTransactions(act: (statement: Passing, index: number) => Promise<void> | void) {
    let open = false;
    let index = 0;
    harness.proxy.intercept = async (statement) => {
      if (statement.sql.startsWith('BEGIN')) open = true;
      if (open) await act(statement, index++);
    };
  }

  async function expectAllOfIt(
    { company, people }: Shared,
    response: ImportSessionResponse,
    message?: string,
  ): Promise<void> {
    const { target } = harness;
    const copies: SessionId[] = [];
    for (const original of [company, ...people]) {
      const found = await copiesIn(target, original);
      expect(found, message).to.have.length(1);
      const copy = fromBinary<SessionId>(found[0]?.['id'] as Buffer);
      copies.push(copy);
      const [entry] = await ledgerOf(target, original);
      expect(entry?.['session_id'], message).to.deep.equal(toBinary(copy));
      const kind = original === company ? 'business' : 'user';
      const expected = await tableRows(`${kind}_logs`, original);
      const copied = await tableRows(`${kind}_logs`, copy);
      expect(copied.slice(0, -1), message).to.deep.equal(expected);
    }
    const [own, ...linked] = copies;
    expect(sessionOf(response).sessionId, message).to.equal(own);
    expect(rowsOf(response)).to.deep.equal({ key_people_checks: 1, key_people: 3, logs });
    expect(
      response.linkedSessions.map((each) => [
        each.session?.sessionId,
        each.importedBefore,
        rowsOf({ ...response, clonedRelations: each.clonedRelations }),
      ]),
      message,
    ).to.deep.equal(linked.map((id, i) => [id, i === 1, i === 1 ? {} : { logs }]));
    expect(await keyPeopleOf(toId(own ?? '')), message).to.deep.equal(
      people.map((id, index) => ({
        kyc_session_id: toBinary(linked[index] ?? id),
        source_kyc_session_id: toBinary(id),
      })),
    );
  }

  async function expectNoneOfIt({ company, people }: Shared): Promise<void> {
    const { target } = harness;
    const [first, , last] = people;
    for (const original of [company, first, last]) {
      expect(await copiesIn(target, original)).to.deep.equal([]);
      expect(await ledgerOf(target, original)).to.deep.equal([]);
    }
    const entities = 'SELECT * FROM vendor_businesses WHERE vendor_data = ?';
    expect(await select(entities, [Buffer.from(`company ${company}`)])).to.deep.equal([]);
  }

  it('before any statement, the next try makes all of it', async () => {
    const statements: string[] = [];
    const measured = await share();
    inTransactions(({ sql }) => void statements.push(sql));
    await importing(measured.request);
    // BEGIN with what is known, the locks, those of the key people, the lock of the earlier copy, the claims with the
    // copies, COMMIT: the least there can be.
    expect(statements.length).to.be.at.least(least);

    for (const victim of statements.keys()) {
      const shared = await share();
      inTransactions(async ({ connectionId }, index) => {
        if (index === victim) await kill(connectionId);
      });
      const response = await importing(shared.request);
      harness.proxy.intercept = undefined;
      await expectAllOfIt(shared, response, statements[victim]);
    }
  });

  it('during any statement, the next try makes all of it', async () => {
    let transactions = 0;
    for (let victim = 0; victim < 24; victim++) {
      const shared = await share();
      inTransactions(({ sql, connectionId }, index) => {
        if (sql.startsWith('BEGIN')) transactions++;
        if (index === victim % least) void kill(connectionId);
      });
      const response = await importing(shared.request);
      harness.proxy.intercept = undefined;
      await expectAllOfIt(shared, response);
    }
    // Some kills come too late to matter, but not all of them.
    expect(transactions).to.be.greaterThan(28);
  });

  it('at the same statement in every try, the call fails, and leaves no trace', async () => {
    for (let victim = 0; victim < least; victim++) {
      const shared = await share();
      // Connections that are killed are not used again: each try has another.
      const position = new Map<number, number>();
      harness.proxy.intercept = async ({ sql, connectionId }) => {
        if (sql.startsWith('BEGIN')) position.set(connectionId, 0);
        const index = position.get(connectionId);
        if (index === undefined) return;
        position.set(connectionId, index + 1);
        if (index === victim) await kill(connectionId);
      };
      const failure = await failureOf(importing(shared.request));
      expect(failure.reason).to.equal('DATABASE_UNAVAILABLE');
      harness.proxy.intercept = undefined;
      await expectNoneOfIt(shared);
      await expectAllOfIt(shared, await importing(shared.request));
    }
  });

  it('in COMMIT, which ends while the next try waits for it, what came along is told as its own', async () => {
    const shared = await share();
    let finishCommit: (() => Promise<void>) | undefined;
    let finished = false;
    inTransactions(async (statement) => {
      if (!finishCommit && statement.sql.startsWith('COMMIT')) {
        finishCommit = statement.orphan();
      } else if (finishCommit && !finished && waitsForEarlierTry.test(statement.sql)) {
        finished = true;
        await finishCommit();
      }
    });
    const response = await importing(shared.request);
    expect(finished).to.equal(true);
    await expectAllOfIt(shared, response);
  });

  it('in COMMIT, which ends after its linked workflow was deleted, the call is not refused for that', async () => {
    const { db, source, target } = harness;
    // Without linked sessions, nothing of the import holds the workflow for them.
    const company = await createCompany(db, source, []);
    const linkedWorkflowId = await createWorkflow(db, {
      applicationId: target.applicationId,
      kind: 'user',
      name: 'soon to be deleted',
    });
    let finishCommit: (() => Promise<void>) | undefined;
    inTransactions(async (statement) => {
      if (!finishCommit && statement.sql.startsWith('COMMIT')) {
        finishCommit = statement.orphan();
        await db('workflows')
          .where({ id: toBinary(linkedWorkflowId) })
          .del();
      } else if (finishCommit && waitsForEarlierTry.test(statement.sql)) {
        await finishCommit();
      }
    });
    const answer = sessionOf(
      await importing({ ...(await requestWithLinked(harness, company)), linkedWorkflowId }),
    );
    const [entry] = await ledgerOf(target, company);
    expect(toBinary(toId(answer.sessionId))).to.deep.equal(entry?.['session_id']);
  });

  it('or holds the session of a key person locked for long, the call fails, and leaves no trace', async () => {
    const shared = await share();
    await harness.db.transaction(async (writer) => {
      await writer('user_sessions')
        .where({ id: toBinary(shared.people[2]) })
        .forUpdate();
      const failure = await failureOf(importing(shared.request));
      expect(failure).to.include({ code: 'ABORTED', reason: 'CONFLICT' });
    });
    await expectNoneOfIt(shared);
    await expectAllOfIt(shared, await importing(shared.request));
  });

  for (const requestId of [undefined, 'an id'] as const) {
    it(`in COMMIT, and the answer to it is lost, ${requestId ?? 'no id'}: the call is answered from what was committed`, async () => {
      const shared = await share();
      let commits = 0;
      const importingOn = new Set<number>();
      inTransactions(async (statement) => {
        if (statement.sql.includes('session_imports')) importingOn.add(statement.connectionId);
        // Session numbers are leased in transactions of their own, if it is their time.
        if (!statement.sql.startsWith('COMMIT')) return;
        if (!importingOn.delete(statement.connectionId)) return;
        if (++commits > 1) return;
        await statement.answered();
        await kill(statement.connectionId);
        statement.cut();
      });
      const request = { ...shared.request, requestId: requestId && uuid() };
      const response = await importing(request);
      expect(commits).to.equal(2);
      await expectAllOfIt(shared, response);
    });
  }
});
