import { createHash } from 'node:crypto';
import { expect } from 'chai';
import * as fc from 'fast-check';
import { v4 as uuid } from 'uuid';
import { newId, toBinary, toId, type SessionId, type WorkflowId } from '../../src/model/ids';
import {
  ImportSessionResponse,
  Session,
  SessionKind as WireKind,
  SessionStatus,
  type ImportSessionRequest,
  type LinkedSession,
} from '../../src/gen/sessionimport/v1/session_import';
import { must } from '../../src/model/must';
import { kindSchemas } from '../../src/model/relations';
import { failureOf, rowsOf, sessionOf } from '../support/client';
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
import { scrape, sumOf } from '../support/metrics';
import { anyRelations, insertRelations } from '../support/random-session';
import { checksums, relationRows, sessionRow } from '../support/rows';
import { startHarness, writingNothing, type Harness } from '../support/service';

const logs = 2;

describe('an import with linked sessions', () => {
  let harness: Harness;
  /** A fresh one for each test. */
  let target: Tenant;
  before(async () => {
    harness = await startHarness({ environment: writingNothing });
  });
  after(() => harness.stop());
  beforeEach(async () => {
    target = await createTenant(harness.db);
  });

  /** A finished user session of the source application. */
  async function person(columns: Parameters<typeof createSession>[3] = {}): Promise<SessionId> {
    const id = await createSession(harness.db, harness.source, 'user', columns);
    await addLogs(harness.db, 'user', id, logs);
    return id;
  }

  const company = (people: readonly (SessionId | null)[]): Promise<SessionId> =>
    createCompany(harness.db, harness.source, people);

  const requestFor = (id: SessionId): Promise<Partial<ImportSessionRequest>> =>
    requestWithLinked({ ...harness, target }, id);

  const importing = (request: Partial<ImportSessionRequest>): Promise<ImportSessionResponse> =>
    harness.client.import(target.apiKey, request);

  async function importCompany(id: SessionId): Promise<ImportSessionResponse> {
    return importing(await requestFor(id));
  }

  async function importPerson(id: SessionId): Promise<SessionId> {
    const shareToken = await harness.signer.share(harness.source, target, 'user', id);
    const request = { shareToken, workflowId: target.workflows.user, vendorData: 'Ana' };
    return idOf(await importing(request));
  }

  const deleteSession = (id: SessionId) =>
    harness
      .db('user_sessions')
      .where({ id: toBinary(id) })
      .delete();

  it('copies every column of every row of each, and points the key people at the copies', async () => {
    const { db } = harness;
    const samples = fc.sample(await anyRelations('user'), 4);
    const people = await Promise.all(
      samples.map(async (relations) => {
        const id = await createSession(db, harness.source, 'user');
        await insertRelations(db, 'user', id, relations);
        return id;
      }),
    );
    const original = await createSession(db, harness.source, 'business');
    const [business] = fc.sample(await anyRelations('business'), 1);
    const keyPeople = (business?.['business_key_people'] ?? []).map((row, index) => ({
      ...row,
      kyc_session_id: index % 5 === 4 ? null : toBinary(people[index % 5] as SessionId),
    }));
    await insertRelations(db, 'business', original, {
      ...business,
      business_key_people: keyPeople,
    });
    const before = await Promise.all(people.map((id) => relationRows('user', id)));
    const companyBefore = await relationRows('business', original);

    const response = await importCompany(original);

    expect(response.linkedSessions.map(originOf)).to.deep.equal(people);
    for (const [index, linked] of response.linkedSessions.entries()) {
      const copied = await relationRows('user', linkedId(linked));
      const shortened = { ...copied, user_logs: copied['user_logs']?.slice(0, -1) };
      expect(shortened).to.deep.equal(before[index]);
      expect(linked.clonedRelations).to.deep.equal(
        kindSchemas.user.relations.map(({ name, table }) => ({
          relation: name,
          rows: before[index]?.[table]?.length ?? 0,
        })),
      );
    }
    const copyOf = new Map(
      response.linkedSessions.map((linked) => [originOf(linked), toBinary(linkedId(linked))]),
    );
    const copiedCompany = await relationRows('business', idOf(response));
    expect({
      ...copiedCompany,
      business_logs: copiedCompany['business_logs']?.slice(0, -1),
    }).to.deep.equal({
      ...companyBefore,
      business_key_people: companyBefore['business_key_people']?.map((row, index) => {
        const own = index % 5 === 4 ? undefined : people[index % 5];
        return {
          ...row,
          kyc_session_id: own === undefined ? null : copyOf.get(own),
          source_kyc_session_id: own === undefined ? row['kyc_session_id'] : toBinary(own),
        };
      }),
    });
    expect(await Promise.all(people.map((id) => relationRows('user', id)))).to.deep.equal(before);
    expect(await relationRows('business', original)).to.deep.equal(companyBefore);
  });

  for (const trustReview of [true, false]) {
    it(`makes sessions of their own, whose review is ${trustReview ? '' : 'not '}trusted`, async () => {
      const people = [
        await person({ status: 'Declined' }),
        await person({ status: 'Kyc Expired' }),
      ];
      const request = await requestFor(await company(people));
      const response = await importing({ ...request, trustReview, vendorData: 'ACME' });
      const statuses = trustReview
        ? [SessionStatus.SESSION_STATUS_DECLINED, SessionStatus.SESSION_STATUS_KYC_EXPIRED]
        : [SessionStatus.SESSION_STATUS_IN_REVIEW, SessionStatus.SESSION_STATUS_IN_REVIEW];
      const numbers = new Set([sessionOf(response).sessionNumber]);
      for (const [index, linked] of response.linkedSessions.entries()) {
        const row = await sessionRow('user', linkedId(linked));
        expect(linked.importedBefore).to.equal(false);
        expect(linked.session).to.deep.include({
          sessionNumber: Number(row?.['session_number']),
          sessionUrl: `https://verify.example.com/session/${String(row?.['session_token'])}`,
          sessionKind: WireKind.SESSION_KIND_USER,
          status: statuses[index],
          workflowId: target.workflows.user,
          vendorData: undefined,
          sharedFromSession: people[index],
          sharedFromApplication: harness.source.applicationId,
        });
        expect(row?.['application_id']).to.deep.equal(toBinary(target.applicationId));
        expect(row?.['vendor_entity_id']).to.equal(null);
        numbers.add(linked.session?.sessionNumber ?? 0);
      }
      expect(numbers.size).to.equal(3);
    });
  }

  it('leaves in the log and in the ledger which import took each along', async () => {
    const id = await person();
    const original = await company([id]);
    const response = await importCompany(original);
    const [linked] = response.linkedSessions;
    if (!linked) throw new Error('no linked session');
    const lines = (await relationRows('user', linkedId(linked)))['user_logs'] ?? [];
    expect(lines).to.have.length(logs + 1);
    expect(lines.at(-1)).to.include({ activity_type: 'session_imported' });
    expect(JSON.parse(String(lines.at(-1)?.['additional_data']))).to.deep.equal({
      shared_from_session: id,
      shared_from_application: harness.source.applicationId,
      original_status: 'Approved',
      trust_review: false,
      linked_to_session: idOf(response),
    });
    const [own] = await ledgerOf(target, original);
    const [entry] = await ledgerOf(target, id);
    expect(own).to.deep.include({ linked_to_session_id: null });
    expect(own?.['token_digest']).to.have.length(32);
    expect(entry).to.deep.include({
      session_id: toBinary(linkedId(linked)),
      session_kind: 'user',
      source_status: 'Approved',
      token_digest: null,
      token_key_id: null,
      token_id: null,
      linked_to_session_id: toBinary(idOf(response)),
      api_key_id: own?.['api_key_id'],
      request_id: null,
      answer: null,
    });
  });

  it('copies a person once who is there twice, in the order of the key people', async () => {
    const [ana, bea] = [await person(), await person()];
    const response = await importCompany(await company([bea, null, ana, bea]));
    expect(response.linkedSessions.map(originOf)).to.deep.equal([bea, ana]);
    const [first, second] = response.linkedSessions.map((linked) => toBinary(linkedId(linked)));
    expect(await keyPeopleOf(idOf(response))).to.deep.equal([
      { kyc_session_id: first, source_kyc_session_id: toBinary(bea) },
      { kyc_session_id: null, source_kyc_session_id: null },
      { kyc_session_id: second, source_kyc_session_id: toBinary(ana) },
      { kyc_session_id: first, source_kyc_session_id: toBinary(bea) },
    ]);
  });

  it('leaves behind what is unfinished, gone, somebody else’s or no user session', async () => {
    const { db, source } = harness;
    const stranger = await createTenant(db);
    const behind = [
      await person({ status: 'In Progress' }),
      await person({ status: 'Resubmitted' }),
      newId<SessionId>(),
      await createSession(db, stranger, 'user'),
      await createSession(db, target, 'user'),
      await createSession(db, source, 'business'),
    ];
    const good = await person();
    const response = await importCompany(await company([...behind, good]));
    expect(response.linkedSessions.map(originOf)).to.deep.equal([good]);
    const rows = await keyPeopleOf(idOf(response));
    expect(rows.slice(0, -1)).to.deep.equal(
      behind.map((id) => ({ kyc_session_id: null, source_kyc_session_id: toBinary(id) })),
    );
    expect(rows.at(-1)?.['kyc_session_id']).not.to.equal(null);
    for (const id of behind) expect(await ledgerOf(target, id)).to.deep.equal([]);
  });

  it('of a company without key people, or whose people have no sessions, is like any other', async () => {
    for (const people of [[], [null, null]]) {
      const response = await importCompany(await company(people));
      expect(response.linkedSessions).to.deep.equal([]);
      expect(await keyPeopleOf(idOf(response))).to.have.length(people.length);
    }
  });

  it('uses the copy of a person who was imported before, and does not show its details', async () => {
    const { db } = harness;
    const [before, fresh] = [await person(), await person()];
    const copy = await importPerson(before);
    await db('user_sessions')
      .where({ id: toBinary(copy) })
      .update({ status: 'Declined' });
    const response = await importCompany(await company([fresh, before]));
    expect(response.linkedSessions.map(({ importedBefore }) => importedBefore)).to.deep.equal([
      false,
      true,
    ]);
    const [, linked] = response.linkedSessions;
    expect(linked?.clonedRelations).to.deep.equal([]);
    // The key that imports can lack the privilege to read.
    expect(linked?.session).to.deep.equal(
      Session.fromPartial({
        sessionId: copy,
        sessionKind: WireKind.SESSION_KIND_USER,
        sharedFromSession: before,
        sharedFromApplication: harness.source.applicationId,
      }),
    );
    expect((await keyPeopleOf(idOf(response)))[1]).to.deep.equal({
      kyc_session_id: toBinary(copy),
      source_kyc_session_id: toBinary(before),
    });
    expect(await copiesIn(target, before)).to.have.length(1);
    // The entry is still that of the import that made the copy.
    expect((await ledgerOf(target, before))[0]).to.deep.include({ linked_to_session_id: null });
  });

  it('does not copy a person again whose copy was deleted', async () => {
    const id = await person();
    await deleteSession(await importPerson(id));
    const response = await importCompany(await company([id]));
    expect(response.linkedSessions).to.deep.equal([]);
    expect(await keyPeopleOf(idOf(response))).to.deep.equal([
      { kyc_session_id: null, source_kyc_session_id: toBinary(id) },
    ]);
    expect(await copiesIn(target, id)).to.deep.equal([]);
  });

  it('counts as the import of each: none can be imported again, by itself or with another company', async () => {
    const id = await person();
    const first = await importCompany(await company([id]));
    const [linked] = first.linkedSessions;
    if (!linked) throw new Error('no linked session');
    const failure = await failureOf(importPerson(id));
    expect(failure).to.include({ code: 'PERMISSION_DENIED', reason: 'SESSION_ALREADY_IMPORTED' });
    expect(failure.metadata).to.deep.include({
      session_id: linkedId(linked),
      shared_from_session: id,
    });
    const second = await importCompany(await company([id]));
    expect(second.linkedSessions.map(linkedId)).to.deep.equal([linkedId(linked)]);
    expect(second.linkedSessions[0]?.importedBefore).to.equal(true);
    await deleteSession(linkedId(linked));
    expect((await failureOf(importPerson(id))).reason).to.equal('SESSION_ALREADY_IMPORTED');
  });

  it('can be shared on: the next application gets copies of the copies', async () => {
    const { db, client } = harness;
    const people = [await person(), await person()];
    const first = await importCompany(await company(people));
    const third = await createTenant(db);
    const second = await client.import(
      third.apiKey,
      await requestWithLinked({ ...harness, source: target, target: third }, idOf(first)),
    );
    const firstCopies = first.linkedSessions.map(linkedId);
    expect(second.linkedSessions.map(originOf)).to.deep.equal(firstCopies);
    expect(await keyPeopleOf(idOf(second))).to.deep.equal(
      second.linkedSessions.map((linked) => ({
        kyc_session_id: toBinary(linkedId(linked)),
        source_kyc_session_id: toBinary(toId(originOf(linked) ?? '')),
      })),
    );
    for (const linked of second.linkedSessions) {
      expect((await relationRows('user', linkedId(linked)))['user_logs']).to.have.length(logs + 1);
    }
  });

  it('is not what happens without the flag, whatever the token allows', async () => {
    const id = await person();
    const { shareToken = '', workflowId = '' } = await requestFor(await company([id]));
    const response = await importing({ shareToken, workflowId, includeLinkedSessions: false });
    expect(response.linkedSessions).to.deep.equal([]);
    expect(await keyPeopleOf(idOf(response))).to.deep.equal([
      { kyc_session_id: null, source_kyc_session_id: toBinary(id) },
    ]);
    expect(await ledgerOf(target, id)).to.deep.equal([]);
  });

  it('of a user session is an import like any other', async () => {
    const { signer, source } = harness;
    const id = await person();
    const response = await importing({
      shareToken: await signer.share(source, target, 'user', id),
      workflowId: target.workflows.user,
      includeLinkedSessions: true,
      linkedWorkflowId: newId<WorkflowId>(),
    });
    expect(response.linkedSessions).to.deep.equal([]);
    expect(rowsOf(response)).to.deep.equal({ logs });
  });

  it('is refused if the token does not share them, and nothing is written', async () => {
    const { signer, source } = harness;
    const id = await person();
    const original = await company([id]);
    const shareToken = await signer.share(source, target, 'business', original);
    const failure = await failureOf(importing({ ...(await requestFor(original)), shareToken }));
    expect(failure).to.include({ code: 'PERMISSION_DENIED', reason: 'LINKED_SESSIONS_NOT_SHARED' });
    expect(failure.metadata).to.deep.equal({ shared_from_session: original });
    for (const each of [original, id]) {
      expect(await ledgerOf(target, each)).to.deep.equal([]);
      expect(await copiesIn(target, each)).to.deep.equal([]);
    }
    // The token is as good as ever for what it shares.
    await importing({ shareToken, workflowId: target.workflows.business });
  });

  it('needs a workflow for them, and takes one for nothing else', async () => {
    const request = await requestFor(await company([]));
    const wrong: [Partial<ImportSessionRequest>, string][] = [
      [{ ...request, linkedWorkflowId: undefined }, 'is required'],
      [{ ...request, linkedWorkflowId: '' }, 'is required'],
      [{ ...request, linkedWorkflowId: 'mine' }, 'must be a UUID'],
      [
        { ...request, includeLinkedSessions: false },
        'has no effect without include_linked_sessions',
      ],
      [
        { ...request, includeLinkedSessions: undefined },
        'has no effect without include_linked_sessions',
      ],
    ];
    for (const [each, description] of wrong) {
      const failure = await failureOf(importing(each));
      expect(failure).to.include({ code: 'INVALID_ARGUMENT', reason: 'INVALID_REQUEST' });
      expect(
        failure.badRequest?.fieldViolations.map(({ field, description: said }) => [field, said]),
      ).to.deep.equal([['linked_workflow_id', description]]);
    }
  });

  it('is refused for their workflow after its own, and both must be there before kinds count', async () => {
    const { source } = harness;
    const { user, business } = target.workflows;
    const request = await requestFor(await company([await person()]));
    const foreign = source.workflows;
    const cases: [WorkflowId, WorkflowId, string, WorkflowId][] = [
      [foreign.business, foreign.user, 'WORKFLOW_NOT_FOUND', foreign.business],
      [business, foreign.user, 'WORKFLOW_NOT_FOUND', foreign.user],
      [user, foreign.user, 'WORKFLOW_NOT_FOUND', foreign.user],
      [user, business, 'WORKFLOW_KIND_MISMATCH', user],
      [business, business, 'WORKFLOW_KIND_MISMATCH', business],
    ];
    for (const [workflowId, linkedWorkflowId, reason, named] of cases) {
      const failure = await failureOf(importing({ ...request, workflowId, linkedWorkflowId }));
      expect(failure.reason).to.equal(reason);
      expect(failure.metadata['workflow_id']).to.equal(named);
    }
  });

  it('that only validates tells what an import would do, and writes nothing', async () => {
    const [before, fresh] = [await person(), await person({ status: 'Declined' })];
    const copy = await importPerson(before);
    const request = { ...(await requestFor(await company([fresh, before]))), trustReview: true };
    const state = await checksums();
    const validated = await importing({ ...request, validateOnly: true });
    expect(await checksums()).to.deep.equal(state);

    expect(validated.linkedSessions[0]?.session).to.deep.include({
      sessionId: '',
      sessionNumber: 0,
      sessionUrl: '',
      createdAt: undefined,
      status: SessionStatus.SESSION_STATUS_DECLINED,
      workflowId: target.workflows.user,
      sharedFromSession: fresh,
    });
    expect(validated.linkedSessions[1]?.session?.sessionId).to.equal(copy);
    const made = await importing(request);
    expect(made.linkedSessions[1]).to.deep.equal(validated.linkedSessions[1]);
    expect(made.linkedSessions.map(withoutSession)).to.deep.equal(
      validated.linkedSessions.map(withoutSession),
    );
  });

  it('with an id is answered again byte for byte, with all that came along', async () => {
    const people = [await person(), await person()];
    const request = { ...(await requestFor(await company(people))), requestId: uuid() };
    const first = await importing(request);
    expect(first.linkedSessions).to.have.length(2);
    for (const linked of first.linkedSessions) await deleteSession(linkedId(linked));
    expect(bytesOf(await importing(request))).to.equal(bytesOf(first));
    const other = { ...request, linkedWorkflowId: target.workflows.business };
    expect((await failureOf(importing(other))).reason).to.equal('REQUEST_ID_REUSED');
    const alone = { ...request, includeLinkedSessions: false, linkedWorkflowId: undefined };
    expect((await failureOf(importing(alone))).reason).to.equal('REQUEST_ID_REUSED');
    // However an id is written, and whether "no" is said or not, it is the same request.
    const spelled = request.linkedWorkflowId?.toUpperCase();
    const again = await importing({ ...request, linkedWorkflowId: spelled });
    expect(bytesOf(again)).to.equal(bytesOf(first));
  });

  it('leaves the digest of requests that do not ask for it as it was', async () => {
    const original = await company([]);
    const { shareToken = '', workflowId = '' } = await requestFor(original);
    const plain = { shareToken, workflowId, trustReview: true, vendorData: 'ACME' };
    await importing({ ...plain, requestId: uuid(), includeLinkedSessions: false });
    const [entry] = await ledgerOf(target, original);
    // The fields in the order of their numbers (protobuf.dev, "Encoding").
    const bytes = Buffer.concat([
      textField(1, shareToken),
      Buffer.from([2 << 3, 1]),
      textField(3, workflowId),
      textField(4, 'ACME'),
    ]);
    expect(entry?.['request_digest']).to.deep.equal(createHash('sha256').update(bytes).digest());
  });

  it('brings along 500, however often they are named, in one answer that is kept as well', async () => {
    const people = await createSessions(harness.db, harness.source, 'user', 500);
    const original = await company([...people, ...people.toReversed()]);
    const request = { ...(await requestFor(original)), requestId: uuid() };
    const response = await importing(request);
    expect(response.linkedSessions.map(originOf)).to.deep.equal(people);
    const numbers = response.linkedSessions.map(({ session }) => session?.sessionNumber);
    expect(new Set(numbers).size).to.equal(500);
    // Far below the 4 MiB that clients take, and the 16 MiB that the ledger has room for.
    expect(bytesOf(response).length / 2).to.be.within(65_535, 500 * 800);
    expect(bytesOf(await importing(request))).to.equal(bytesOf(response));
    const rows = await keyPeopleOf(idOf(response));
    const copies = response.linkedSessions.map((linked) => toBinary(linkedId(linked)));
    expect(rows.map((row) => row['kyc_session_id'])).to.deep.equal([
      ...copies,
      ...copies.toReversed(),
    ]);
  });

  it('is refused if more than 500 sessions would come along, before any of them is touched', async () => {
    const { db, source, client } = harness;
    const people = await createSessions(db, source, 'user', 501);
    const original = await company(people);
    const request = await requestFor(original);
    const state = await checksums();
    // Whoever works on one of them does not hold up the refusal.
    const held = await db.transaction();
    await held.raw('SELECT id FROM user_sessions WHERE id IN (?) FOR UPDATE', [
      people.map(toBinary),
    ]);
    try {
      for (const validateOnly of [true, false]) {
        const failure = await failureOf(importing({ ...request, validateOnly }));
        expect(failure).to.include({
          code: 'FAILED_PRECONDITION',
          reason: 'TOO_MANY_LINKED_SESSIONS',
        });
        expect(failure.metadata).to.deep.equal({ shared_from_session: original, limit: '500' });
      }
    } finally {
      await held.rollback();
    }
    // A number of the company's own was leased for the import, as for every one.
    const changed = (await checksums()).filter(
      ({ Checksum: checksum }, index) => checksum !== state[index]?.['Checksum'],
    );
    expect(changed.map(({ Table: table }) => String(table).split('.')[1])).to.deep.equal([
      'event_outbox',
      'import_refusals',
      'session_counters',
    ]);
    const refusals = await db('import_refusals').where({
      application_id: toBinary(target.applicationId),
    });
    expect(refusals.map(({ reason }: { reason: string }) => reason)).to.deep.equal([
      'TOO_MANY_LINKED_SESSIONS',
      'TOO_MANY_LINKED_SESSIONS',
    ]);

    // What the refusal says to do.
    const { shareToken = '', workflowId = '' } = request;
    await client.import(target.apiKey, { shareToken, workflowId });
    await importPerson(must(people[500], 'the last of them'));
  });

  it('is told in the log and in the metrics, each row with the kind of its session', async () => {
    const { client, logLines, server } = harness;
    const count = async (kind: string) =>
      sumOf(await scrape(server.metricsPort), 'session_import_cloned_rows_total', { kind });
    const people = [await person(), await person()];
    const before = { user: await count('user'), business: await count('business') };
    const response = await importCompany(await company(people));
    expect(await count('user')).to.equal(before.user + 2 * logs);
    expect(await count('business')).to.equal(before.business + 3);
    const line = logLines.find((each) => each.includes(client.lastRequestId ?? 'none'));
    expect(JSON.parse(line ?? '{}')).to.include({
      session_id: idOf(response),
      linked_sessions: 2,
      group_size: 1,
    });
  });
});

function idOf(response: ImportSessionResponse): SessionId {
  return toId(sessionOf(response).sessionId);
}

function linkedId({ session }: LinkedSession): SessionId {
  return toId(session?.sessionId ?? '');
}

function originOf({ session }: LinkedSession): string | undefined {
  return session?.sharedFromSession;
}

function withoutSession({ clonedRelations, importedBefore }: LinkedSession): object {
  return { clonedRelations, importedBefore };
}

function bytesOf(response: ImportSessionResponse): string {
  return Buffer.from(ImportSessionResponse.encode(response).finish()).toString('hex');
}

/** A text field as protobuf writes it. */
function textField(number: number, text: string): Buffer {
  const bytes = Buffer.from(text);
  const length =
    bytes.length < 128 ? [bytes.length] : [(bytes.length & 127) | 128, bytes.length >> 7];
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length]), bytes]);
}
