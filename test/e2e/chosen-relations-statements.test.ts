import { expect } from 'chai';
import { AcceptanceRules } from '../../src/gen/sessionimport/v1/session_import';
import { toId, type SessionId } from '../../src/model/ids';
import { kindSchemas } from '../../src/model/relations';
import { detailNames } from '../../src/model/scope';
import { sessionKinds, type SessionKind } from '../../src/model/session';
import { rowsOf, sessionOf } from '../support/client';
import { copiesIn, createCompany } from '../support/companies';
import { addDocuments } from '../support/documents';
import { addLogs, createSession, createTenant } from '../support/fixtures';
import type { Passing } from '../support/mysql-proxy';
import { sessionRow } from '../support/rows';
import { namesOf, requestFor } from '../support/scopes';
import { startProxiedHarness, type ProxiedHarness } from '../support/service';

describe('the statements for chosen relations', () => {
  let harness: ProxiedHarness;
  before(async () => {
    harness = await startProxiedHarness({ IMPORT_WORKERS: '1' });
  });
  after(() => harness.stop());

  /** Does work, and returns the texts that the service has sent to MySQL meanwhile. */
  const sentDuring = async (work: () => Promise<unknown>): Promise<readonly string[]> => {
    const { proxy } = harness;
    const sent: Passing[] = [];
    proxy.intercept = (statement) => void sent.push(statement);
    await work();
    proxy.intercept = undefined;
    // Each came in one piece: nothing of it was missed.
    for (const { sql, bytes } of sent) expect(bytes - sql.length).to.be.within(1, 3);
    return sent.map(({ sql }) => sql).filter((sql) => sql.includes('session'));
  };

  /** What is read, or copied, of a session: the names of relations and details that a text has. */
  const namedIn = (kind: SessionKind, texts: readonly string[]): readonly string[] => {
    const whole = texts.join('\n');
    const tables = new Map(kindSchemas[kind].relations.map(({ name, table }) => [name, table]));
    return namesOf(kind).filter((name) =>
      new RegExp(`\\b${tables.get(name) ?? name}\\b`).test(whole),
    );
  };

  const everyRule = AcceptanceRules.fromPartial({
    documentsUnexpired: true,
    relations: ['reviews'],
  });

  for (const kind of sessionKinds) {
    for (const validateOnly of [false, true]) {
      it(`name nothing that is withheld of a ${kind} session (preview: ${validateOnly})`, async () => {
        const { db, source, client } = harness;
        const shared = ['reviews', kind === 'user' ? 'id_verifications' : 'documents'];
        const [original] = await Promise.all([createSession(db, source, kind)]);
        await addDocuments(db, kind, shared[1] ?? '', original, [null]);
        await addDocuments(db, kind, 'reviews', original, []);
        const target = await createTenant(db);
        const request = await requestFor(harness, source, target, kind, original, shared);
        const rules = AcceptanceRules.fromPartial({ documentsUnexpired: true });
        const texts = await sentDuring(() =>
          client.import(target.apiKey, { ...request, validateOnly, acceptance: rules }),
        );
        // The log is named because of the entry about the import.
        const logs = validateOnly ? [] : ['logs'];
        expect(namedIn(kind, texts)).to.have.members([...shared, ...logs]);
        expect(texts.join()).not.to.match(/COUNT\(\*\) FROM `?\w+_logs/);

        // A whole session has all of them counted: the test would see them.
        const whole = await createTenant(db);
        const all = await requestFor(harness, source, whole, kind, original, []);
        const seen = await sentDuring(() => client.import(whole.apiKey, { ...all, validateOnly }));
        const relations = kindSchemas[kind].relations.map(({ name }) => name);
        expect(namedIn(kind, seen)).to.have.members([
          ...relations,
          ...(validateOnly ? [] : detailNames),
        ]);
        expect(seen.join()).not.to.match(/INSERT INTO `?\w+_sessions`? \([^)]*shared_relations/);
      });
    }
  }

  it('name nothing that is withheld of linked sessions', async () => {
    const { db, source, client } = harness;
    const person = await createSession(db, source, 'user');
    const company = await createCompany(db, source, [person]);
    const shared = ['key_people_checks', 'key_people', 'faces', 'contact_details'];
    for (const validateOnly of [true, false]) {
      const target = await createTenant(db);
      const request = await requestFor(harness, source, target, 'business', company, shared, true);
      const texts = await sentDuring(() =>
        client.import(target.apiKey, { ...request, validateOnly, acceptance: undefined }),
      );
      const more = validateOnly ? [] : ['logs', 'contact_details'];
      expect(namedIn('user', texts)).to.have.members(['faces', ...more]);
      expect(namedIn('business', texts)).to.have.members([
        ...['key_people_checks', 'key_people'],
        ...more,
      ]);
    }
  });

  it('of a group with different choices take the same round trips, and each call gets its own', async () => {
    const { db, source, target, client, proxy } = harness;
    const calls = [[], ['logs'], ['reviews', 'expected_details'], [], ['logs'], ['faces']];
    const others = await Promise.all(calls.map(() => createTenant(db)));
    const session = async (): Promise<SessionId> => {
      const id = await createSession(db, source, 'user');
      await addLogs(db, 'user', id, 2);
      return id;
    };
    // All but the first two want the same session, each something else of it.
    const same = await session();
    const ids = [await session(), await session(), same, same, same, same];
    const requests = await Promise.all(
      calls.map((names, index) =>
        requestFor(harness, source, others[index] ?? target, 'user', ids[index] ?? same, names),
      ),
    );
    const first = await requestFor(harness, source, target, 'user', await session(), []);
    const { came, letGo } = proxy.holdBack('LOCK IN SHARE MODE');
    const holding = client.import(target.apiKey, first);
    await came;
    const answering = requests.map((request, index) =>
      client.import((others[index] ?? target).apiKey, request),
    );
    await harness.queued(calls.length);
    const texts: string[] = [];
    proxy.intercept = ({ sql }) => void texts.push(sql);
    letGo();
    await holding;
    const answers = await Promise.all(answering);
    proxy.intercept = undefined;

    expect(answers.map(rowsOf)).to.deep.equal([
      { logs: 2 },
      { logs: 2 },
      {},
      { logs: 2 },
      { logs: 2 },
      {},
    ]);
    for (const [index, answer] of answers.entries()) {
      const chosen = calls[index] ?? [];
      const withheld = namesOf('user').filter(
        (name) => chosen.length > 0 && !chosen.includes(name),
      );
      expect(answer.withheldRelations).to.deep.equal(withheld);
      const row = await sessionRow('user', toId(sessionOf(answer).sessionId));
      const has = chosen.length === 0 || chosen.includes('expected_details');
      expect(row?.['expected_details'] !== null, `details of ${index}`).to.equal(has);
    }
    // One group: its sources were locked in one text, its copies made in one.
    expect(texts.filter((sql) => sql.includes('FOR SHARE'))).to.have.length(1);
    const writing = texts.filter((sql) => sql.includes('INSERT INTO session_imports'));
    expect(writing.filter((sql) => sql.split('INTO `user_sessions`').length === 5)).to.have.length(
      1,
    );
  });

  it('are answered with the same copy if the connection is lost in COMMIT', async () => {
    const { db, source, client, proxy } = harness;
    const original = await createSession(db, source, 'user');
    await addLogs(db, 'user', original, 2);
    const target = await createTenant(db);
    const request = await requestFor(harness, source, target, 'user', original, ['logs']);
    let lost = 0;
    proxy.intercept = async (statement) => {
      if (!/^commit/i.test(statement.sql) || lost++ > 0) return;
      await statement.answered();
      statement.cut();
    };
    const answer = await client.import(target.apiKey, request);
    proxy.intercept = undefined;
    expect(lost).to.be.greaterThan(0);
    expect(rowsOf(answer)).to.deep.equal({ logs: 2 });
    expect(answer.withheldRelations).to.deep.equal(
      namesOf('user').filter((name) => name !== 'logs'),
    );
    const row = await sessionRow('user', toId(sessionOf(answer).sessionId));
    expect(row).to.include({ shared_relations: 'logs', expected_details: null });
    expect(await copiesIn(target, original)).to.have.length(1);
  });

  it('need the rows of a rule only where they are shared', async () => {
    const { db, source, client } = harness;
    const original = await createSession(db, source, 'user');
    const target = await createTenant(db);
    const request = await requestFor(harness, source, target, 'user', original, ['faces']);
    const texts = await sentDuring(() =>
      client.import(target.apiKey, { ...request, acceptance: everyRule }).catch(() => undefined),
    );
    expect(namedIn('user', texts)).to.deep.equal(['faces']);
  });
});
