import { expect } from 'chai';
import { noRules } from '../../src/model/acceptance';
import { fromBinary, newId, toBinary, type SessionId } from '../../src/model/ids';
import { updateWorkflow } from '../../src/store/accounts';
import {
  AcceptanceRules,
  SessionStatus,
  type ImportSessionRequest,
} from '../../src/gen/sessionimport/v1/session_import';
import { failureOf, sessionOf } from '../support/client';
import { copiesIn, createCompany, requestWithLinked } from '../support/companies';
import { addDocuments } from '../support/documents';
import {
  addLogs,
  createSession,
  createSessions,
  createTenant,
  type Tenant,
} from '../support/fixtures';
import { rowLockWaits, sessionRow } from '../support/rows';
import { startHarness, type Harness } from '../support/service';

type Rules = Parameters<typeof AcceptanceRules.fromPartial>[0];

describe('acceptance with linked sessions', () => {
  let harness: Harness;
  /** A fresh one for each test. */
  let target: Tenant;
  before(async () => {
    harness = await startHarness();
  });
  after(() => harness.stop());
  beforeEach(async () => {
    target = await createTenant(harness.db);
  });

  const person = (columns: Parameters<typeof createSession>[3] = {}) =>
    createSession(harness.db, harness.source, 'user', columns);

  const company = (people: readonly (SessionId | null)[]) =>
    createCompany(harness.db, harness.source, people);

  const requestFor = async (id: SessionId, rules: Rules) => ({
    ...(await requestWithLinked({ ...harness, target }, id)),
    acceptance: AcceptanceRules.fromPartial(rules),
  });

  const importing = (request: Partial<ImportSessionRequest>) =>
    harness.client.import(target.apiKey, request);

  /** The violations, as "rule subject", of a preview and of an import, which must be the same. */
  async function violations(request: Partial<ImportSessionRequest>): Promise<string[]> {
    const previewed = await failureOf(importing({ ...request, validateOnly: true }));
    const failure = await failureOf(importing(request));
    expect(failure.reason).to.equal('ACCEPTANCE_NOT_MET');
    // Times differ, since the two calls are judged one after the other.
    const named = (of: typeof failure) =>
      (of.precondition?.violations ?? []).map(({ type, subject }) => `${type} ${subject}`);
    expect(named(previewed)).to.deep.equal(named(failure));
    expect(failure.metadata['violations']).to.equal(String(named(failure).length));
    return named(failure);
  }

  const hour = { seconds: 3_600, nanos: 0 };
  const old = { verified_at: new Date(Date.now() - 3_700_000) };

  it('judges the company and all its people, and says whose each violation is', async () => {
    const { db } = harness;
    const good = await person();
    await addDocuments(db, 'user', 'id_verifications', good, ['2999-12-31']);
    const declined = await person({ status: 'Declined' });
    const expired = await person(old);
    await addDocuments(db, 'user', 'proofs_of_address', expired, ['2020-01-01', '2999-01-01']);
    const id = await company([declined, good, null, expired]);
    await addDocuments(db, 'business', 'documents', id, ['2021-01-01']);
    const request = await requestFor(id, {
      maxAge: hour,
      documentsUnexpired: true,
      statuses: [SessionStatus.SESSION_STATUS_APPROVED],
      relations: ['id_verifications', 'documents'],
    });
    expect(await violations(request)).to.deep.equal([
      `documents_unexpired sessions/${id}/documents/0`,
      `statuses sessions/${declined}`,
      `relations sessions/${declined}/id_verifications`,
      `max_age sessions/${expired}`,
      `relations sessions/${expired}/id_verifications`,
      `documents_unexpired sessions/${expired}/proofs_of_address/0`,
    ]);
    for (const one of [id, good, declined, expired]) {
      expect(await copiesIn(target, one)).to.deep.equal([]);
    }
  });

  it('asks each kind for the relations that it has, and the company for what nobody else could have', async () => {
    const { db } = harness;
    const one = await person();
    const id = await company([one]);
    const relations = ['key_people', 'faces', 'logs'];
    expect(await violations(await requestFor(id, { relations }))).to.deep.equal([
      `relations sessions/${id}/logs`,
      `relations sessions/${one}/faces`,
      `relations sessions/${one}/logs`,
    ]);
    await addLogs(db, 'user', one, 1);
    await addLogs(db, 'business', id, 1);
    await importing(await requestFor(id, { relations: ['key_people', 'logs'] }));
    const alone = await company([]);
    await importing(await requestFor(alone, { relations: ['faces'] }));
    const { includeLinkedSessions, linkedWorkflowId, ...request } = await requestFor(
      await company([]),
      { relations: ['faces'] },
    );
    expect([includeLinkedSessions, linkedWorkflowId]).to.deep.equal([true, target.workflows.user]);
    expect((await failureOf(importing(request))).reason).to.equal('ACCEPTANCE_NOT_MET');
  });

  it('requires details of the company and of its people', async () => {
    const { db } = harness;
    const details = { contact_details: '{"a": 1}', expected_details: '{}' };
    const none = { contact_details: null, expected_details: null };
    const [one, other] = [await person(details), await person(none)];
    const id = await company([one, other]);
    await db('business_sessions')
      .where({ id: toBinary(id) })
      .update(none);
    const contact = await requestFor(id, { relations: ['contact_details'] });
    expect(await violations(contact)).to.deep.equal([
      `relations sessions/${id}/contact_details`,
      `relations sessions/${other}/contact_details`,
    ]);
    const expected = await requestFor(id, { relations: ['expected_details'] });
    expect(await violations(expected)).to.deep.equal(
      [id, one, other].map((each) => `relations sessions/${each}/expected_details`),
    );
    await db('user_sessions')
      .where({ id: toBinary(other) })
      .update(details);
    await db('business_sessions')
      .where({ id: toBinary(id) })
      .update(details);
    await importing(contact);
  });

  it('refuses the company by its own rules, whether or not it has people', async () => {
    for (const people of [[], [await person()]]) {
      const id = await company(people);
      const request = await requestFor(id, { relations: ['documents'] });
      expect(await violations(request)).to.deep.equal([`relations sessions/${id}/documents`]);
    }
  });

  it('judges each by the rules of the workflow that it is filed under', async () => {
    const { db } = harness;
    const documents = { ...noRules, documentsUnexpired: true };
    await updateWorkflow(db, target.workflows.user, documents);
    const one = await person();
    await addDocuments(db, 'user', 'id_verifications', one, ['2020-01-01']);
    const id = await company([one]);
    await addDocuments(db, 'business', 'documents', id, ['2020-01-01']);
    const request = await requestFor(id, {});
    const ofPerson = `documents_unexpired sessions/${one}/id_verifications/0`;
    const ofCompany = `documents_unexpired sessions/${id}/documents/0`;
    expect(await violations(request)).to.deep.equal([ofPerson]);
    await updateWorkflow(db, target.workflows.business, documents);
    expect(await violations(request)).to.deep.equal([ofCompany, ofPerson]);
    await updateWorkflow(db, target.workflows.user, noRules);
    expect(await violations(request)).to.deep.equal([ofCompany]);
    await updateWorkflow(db, target.workflows.business, noRules);
    await importing(request);
  });

  it('does not judge people who were imported before, nor people who are not imported', async () => {
    const { db, source, signer } = harness;
    const before = await person(old);
    await importing({
      shareToken: await signer.share(source, target, 'user', before),
      workflowId: target.workflows.user,
    });
    const running = await person({ ...old, status: 'In Progress' });
    const foreign = await createSession(db, await createTenant(db), 'user', old);
    const id = await company([before, running, foreign]);
    const request = await requestFor(id, { maxAge: hour });
    const { linkedSessions } = await importing(request);
    expect(linkedSessions.map(({ importedBefore }) => importedBefore)).to.deep.equal([true]);
  });

  it('copies the time at which a person was verified', async () => {
    const verified = '2025-02-28 12:00:00.654321';
    const one = await person({ verified_at: verified });
    await importing(await requestFor(await company([one]), {}));
    const [copy] = await copiesIn(target, one);
    const row = await sessionRow('user', fromBinary(copy?.['id'] as Buffer));
    expect(row).to.include({ verified_at: verified });
  });

  it('judges a person as changed by somebody while the import waited', async () => {
    const { db } = harness;
    const one = await person();
    await addDocuments(db, 'user', 'id_verifications', one, ['2999-01-01']);
    const id = await company([one]);
    const request = await requestFor(id, { documentsUnexpired: true });
    const writer = await db.transaction();
    await writer('user_sessions')
      .where({ id: toBinary(one) })
      .forUpdate();
    const refused = failureOf(importing(request));
    await rowLockWaits();
    await writer('user_id_verifications')
      .where({ session_id: toBinary(one) })
      .update({ expiration_date: '2020-01-01' });
    await writer.commit();
    expect((await refused).precondition?.violations.map(({ subject }) => subject)).to.deep.equal([
      `sessions/${one}/id_verifications/0`,
    ]);
  });

  for (const whose of ['user', 'business'] as const) {
    it(`uses the rules that the ${whose} workflow got while the import waited for a person`, async () => {
      const { db } = harness;
      const one = await person({ status: 'Declined' });
      const id = await company([one]);
      const writer = await db.transaction();
      await writer('user_sessions')
        .where({ id: toBinary(one) })
        .forUpdate();
      const refused = failureOf(importing(await requestFor(id, {})));
      await rowLockWaits();
      await updateWorkflow(db, target.workflows[whose], {
        ...noRules,
        statuses: whose === 'user' ? ['Approved'] : ['Declined'],
      });
      await writer.commit();
      expect((await refused).precondition?.violations.map(({ subject }) => subject)).to.deep.equal([
        `sessions/${whose === 'user' ? one : id}`,
      ]);
      expect(await copiesIn(target, id)).to.deep.equal([]);
    });
  }

  it('comes after the check of the number of people, and before anything is written', async () => {
    const { db, source } = harness;
    const id = await company(await createSessions(db, source, 'user', 501, old));
    const request = await requestFor(id, { maxAge: hour });
    expect((await failureOf(importing(request))).reason).to.equal('TOO_MANY_LINKED_SESSIONS');
  });

  it('gives a repeated request the answer of the first, if that was carried out meanwhile', async () => {
    const one = await person();
    const request = {
      ...(await requestFor(await company([one]), { maxAge: hour })),
      requestId: newId(),
    };
    const answers = await Promise.all([importing(request), importing(request)]);
    expect(sessionOf(answers[1])).to.deep.equal(sessionOf(answers[0]));
    await harness
      .db('user_sessions')
      .where({ id: toBinary(one) })
      .update(old);
    expect(await importing(request)).to.deep.equal(answers[0]);
  });

  it('names only as many violations as a client accepts', async () => {
    const { db, source } = harness;
    const people = await createSessions(db, source, 'user', 120, { ...old, status: 'Declined' });
    const request = await requestFor(await company(people), {
      maxAge: hour,
      statuses: [SessionStatus.SESSION_STATUS_APPROVED],
    });
    const { metadata, precondition } = await failureOf(importing(request));
    expect(metadata['violations']).to.equal('240');
    expect(precondition?.violations.length).to.be.within(15, 60);
  });
});
