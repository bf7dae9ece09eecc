import { expect } from 'chai';
import { v4 as uuid } from 'uuid';
import { fromBinary, toBinary, toId, type SessionId } from '../../src/model/ids';
import {
  ImportSessionResponse,
  type ImportSessionRequest,
} from '../../src/gen/sessionimport/v1/session_import';
import { endings, failureOf, sessionOf } from '../support/client';
import {
  copiesIn,
  createCompany,
  keyPeopleOf,
  ledgerOf,
  requestWithLinked,
} from '../support/companies';
import {
  addLogs,
  createSession,
  createSessions,
  createTenant,
  type Tenant,
} from '../support/fixtures';
import { rowLockWaits, select } from '../support/rows';
import { startHarness, startProxiedHarness, type ProxiedHarness } from '../support/service';

describe('imports with linked sessions at the same time', () => {
  let harness: ProxiedHarness;
  let target: Tenant;
  before(async () => {
    harness = await startProxiedHarness();
  });
  after(() => harness.stop());
  beforeEach(async () => {
    target = await createTenant(harness.db);
  });
  afterEach(() => {
    harness.proxy.intercept = undefined;
  });

  async function people(count: number): Promise<SessionId[]> {
    const ids = await Promise.all(
      Array.from({ length: count }, () => createSession(harness.db, harness.source, 'user')),
    );
    for (const id of ids) await addLogs(harness.db, 'user', id, 2);
    return ids;
  }

  const company = (persons: readonly SessionId[]) =>
    createCompany(harness.db, harness.source, persons);

  const requestFor = (id: SessionId) => requestWithLinked({ ...harness, target }, id);

  async function directRequest(id: SessionId): Promise<Partial<ImportSessionRequest>> {
    const shareToken = await harness.signer.share(harness.source, target, 'user', id);
    return { shareToken, workflowId: target.workflows.user };
  }

  const importing = (request: Partial<ImportSessionRequest>) =>
    harness.client.import(target.apiKey, request);

  /** The one copy that the target has of a session, with the log of one import. */
  async function onlyCopyOf(original: SessionId): Promise<SessionId> {
    const copies = await copiesIn(target, original);
    expect(copies).to.have.length(1);
    const id = fromBinary<SessionId>(copies[0]?.['id'] as Buffer);
    const [entry] = await ledgerOf(target, original);
    expect(entry?.['session_id']).to.deep.equal(toBinary(id));
    const logs = await select('SELECT * FROM user_logs WHERE session_id = ?', [toBinary(id)]);
    expect(logs).to.have.length(3);
    return id;
  }

  /** That the key people of a copied company point at the only copies there are. */
  async function expectLinked(
    copy: SessionId,
    persons: readonly SessionId[],
    response?: ImportSessionResponse,
  ): Promise<void> {
    const copies = await Promise.all(persons.map(onlyCopyOf));
    expect(await keyPeopleOf(copy)).to.deep.equal(
      persons.map((id, index) => ({
        kyc_session_id: toBinary(copies[index] ?? id),
        source_kyc_session_id: toBinary(id),
      })),
    );
    if (response) {
      expect(response.linkedSessions.map(({ session }) => session?.sessionId)).to.deep.equal(
        copies,
      );
    }
  }

  it('of one company make one copy of it and of each of its people', async () => {
    const persons = await people(3);
    const original = await company(persons);
    const request = await requestFor(original);
    const settled = await Promise.allSettled(Array.from({ length: 20 }, () => importing(request)));
    const good = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    expect(good).to.have.length(1);
    const failed = settled.flatMap((one) =>
      one.status === 'rejected' ? [one.reason as Error] : [],
    );
    const reasons = await endings(failed.map((error) => Promise.reject(error)));
    expect(new Set(reasons)).to.deep.equal(new Set(['SESSION_ALREADY_IMPORTED']));
    const [response] = good;
    if (response) await expectLinked(toId(sessionOf(response).sessionId), persons, response);
  });

  it('of one request with an id get one answer', async () => {
    const persons = await people(3);
    const request = { ...(await requestFor(await company(persons))), requestId: uuid() };
    const answers = await Promise.all(Array.from({ length: 20 }, () => importing(request)));
    expect(new Set(answers.map(bytesOf)).size).to.equal(1);
    const [response] = answers;
    if (response) await expectLinked(toId(sessionOf(response).sessionId), persons, response);
  });

  it('of many companies with the same people, and of these people, at two services, end well', async () => {
    const other = await startHarness({ signer: harness.signer });
    const importAnywhere = (request: Partial<ImportSessionRequest>, index: number) =>
      (index % 2 === 0 ? other : harness).client.import(target.apiKey, request);
    for (let round = 0; round < 6; round++) {
      const persons = await people(6);
      const boards = Array.from({ length: 12 }, (_, index) =>
        // Each in another order, and each without one.
        [...persons.slice(index % 6), ...persons.slice(0, index % 6)].slice(1),
      );
      const companies = await Promise.all(boards.map(company));
      const requests = await Promise.all(companies.map(requestFor));
      const direct = await Promise.all(persons.map(directRequest));
      const [answers, results] = await Promise.all([
        Promise.all(requests.map(importAnywhere)),
        endings(direct.map(importAnywhere)),
      ]);
      for (const result of results) {
        expect(result).to.be.oneOf(['OK', 'SESSION_ALREADY_IMPORTED']);
      }
      for (const [index, answer] of answers.entries()) {
        await expectLinked(toId(sessionOf(answer).sessionId), boards[index] ?? [], answer);
      }
    }
    await other.stop();
  });

  it('with a person who is imported directly just before the claim, take that copy, and keep that answer', async () => {
    const [first, second] = await people(2);
    if (!first || !second) throw new Error('no people');
    const request = { ...(await requestFor(await company([first, second]))), requestId: uuid() };
    const wanted = await directRequest(second);
    let claims = 0;
    let direct: ImportSessionResponse | undefined;
    harness.proxy.intercept = async ({ sql }) => {
      if (!sql.includes('INTO session_imports') || ++claims > 1) return;
      direct = await importing(wanted);
    };
    const response = await importing(request);
    expect(response.linkedSessions.map(({ importedBefore }) => importedBefore)).to.deep.equal([
      false,
      true,
    ]);
    expect(response.linkedSessions[1]?.session?.sessionId).to.equal(direct?.session?.sessionId);
    await expectLinked(toId(sessionOf(response).sessionId), [first, second], response);
    expect(bytesOf(await importing(request))).to.equal(bytesOf(response));
  });

  it('with a person who was imported before, keep that copy from being deleted until they end', async () => {
    const { db } = harness;
    const [person] = await people(1);
    if (!person) throw new Error('no person');
    const copy = toBinary(toId(sessionOf(await importing(await directRequest(person))).sessionId));
    const request = await requestFor(await company([person]));
    const { came, letGo } = harness.proxy.holdBack('UPDATE business_key_people');
    const linked = importing(request);
    await came;
    let deleted = false;
    const deleting = db('user_sessions')
      .where({ id: copy })
      .delete()
      .finally(() => (deleted = true));
    await rowLockWaits();
    expect(deleted).to.equal(false);
    letGo();
    const response = await linked;
    expect(await keyPeopleOf(toId(sessionOf(response).sessionId))).to.deep.equal([
      { kyc_session_id: copy, source_kyc_session_id: toBinary(person) },
    ]);
    await deleting;
  });

  it('with a person whose direct import is under way, wait for it', async () => {
    const [person] = await people(1);
    if (!person) throw new Error('no person');
    const request = await requestFor(await company([person]));
    const wanted = await directRequest(person);
    let ended = false;
    let claiming: number | undefined;
    let linked: ReturnType<typeof importing> | undefined;
    harness.proxy.intercept = async ({ sql, connectionId }) => {
      if (sql.includes('INTO session_imports')) claiming ??= connectionId;
      // The person's session is claimed and copied, but not committed yet.
      if (linked || connectionId !== claiming || !sql.startsWith('COMMIT')) return;
      linked = importing(request).finally(() => (ended = true));
      await rowLockWaits();
      expect(ended).to.equal(false);
    };
    const direct = importing(wanted);
    await direct;
    if (!linked) throw new Error('nothing was claimed');
    const response = await linked;
    expect(response.linkedSessions[0]?.importedBefore).to.equal(true);
    expect(response.linkedSessions[0]?.session?.sessionId).to.equal(
      sessionOf(await direct).sessionId,
    );
    await expectLinked(toId(sessionOf(response).sessionId), [person], response);
  });

  it('make a direct import of a person wait, and then be refused with the linked copy', async () => {
    const [person] = await people(1);
    if (!person) throw new Error('no person');
    const request = await requestFor(await company([person]));
    const wanted = await directRequest(person);
    let direct: ReturnType<typeof failureOf> | undefined;
    let linking: number | undefined;
    harness.proxy.intercept = async ({ sql, connectionId }) => {
      if (sql.includes('UPDATE business_key_people')) linking = connectionId;
      // The person's session is claimed and copied, but not committed yet.
      if (direct || connectionId !== linking || !sql.startsWith('COMMIT')) return;
      direct = failureOf(importing(wanted));
      await rowLockWaits();
    };
    const response = await importing(request);
    const failure = await direct;
    expect(failure?.reason).to.equal('SESSION_ALREADY_IMPORTED');
    expect(failure?.metadata['session_id']).to.equal(
      response.linkedSessions[0]?.session?.sessionId,
    );
    await expectLinked(toId(sessionOf(response).sessionId), [person], response);
  });

  it('take as many round trips, however many people there are', async () => {
    const counts: number[] = [];
    // The claims of the last one are longer than what is sent together.
    for (const many of [2, 120, 130]) {
      target = await createTenant(harness.db);
      const persons = await createSessions(harness.db, harness.source, 'user', many);
      const request = await requestFor(await company(persons));
      // The first import into an application leases numbers for this one.
      const [first] = await people(1);
      if (first) await importing(await directRequest(first));
      let statements = 0;
      let importingOn: number | undefined;
      harness.proxy.intercept = ({ sql, connectionId }) => {
        // Numbers are leased in transactions of their own.
        if (sql.startsWith('BEGIN') && sql.includes('session_imports')) importingOn = connectionId;
        if (connectionId === importingOn) statements++;
      };
      expect((await importing(request)).linkedSessions).to.have.length(many);
      harness.proxy.intercept = undefined;
      counts.push(statements);
    }
    expect(counts).to.deep.equal([5, 5, 7]);
  });

  it('are one version of each person, while somebody changes them', async () => {
    const { db } = harness;
    const [person] = await people(1);
    if (!person) throw new Error('no person');
    const stop = new AbortController();
    const write = (version: number) =>
      db.transaction(async (trx) => {
        const id = toBinary(person);
        await trx('user_sessions').where({ id }).forUpdate();
        await trx('user_sessions').where({ id }).update({ language: version });
        await trx('user_logs').where({ session_id: id }).update({ node_id: version });
      });
    await write(0);
    const writer = (async () => {
      for (let version = 1; !stop.signal.aborted; version++) await write(version);
    })();
    const seen = new Set<string>();
    for (let run = 0; run < 25; run++) {
      target = await createTenant(db);
      const response = await importing(await requestFor(await company([person])));
      const id = toBinary(response.linkedSessions[0]?.session?.sessionId as SessionId);
      const rows = await select(
        `SELECT s.language, l.node_id FROM user_sessions s JOIN user_logs l ON l.session_id = s.id
         WHERE s.id = ? AND l.activity_type = 'step_finished'`,
        [id],
      );
      const found = rows.flatMap((row) => [row['language'], row['node_id']]);
      expect(found).to.have.length(4);
      expect(new Set(found), found.join(', ')).to.have.length(1);
      seen.add(String(found[0]));
    }
    stop.abort();
    await writer;
    expect(seen.size).to.be.greaterThan(5);
  });
});

function bytesOf(response: ImportSessionResponse): string {
  return Buffer.from(ImportSessionResponse.encode(response).finish()).toString('hex');
}
