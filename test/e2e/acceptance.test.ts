import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { updateWorkflow } from '../../src/store/accounts';
import { noRules } from '../../src/model/acceptance';
import { newId, toBinary, toId, type SessionId } from '../../src/model/ids';
import { kindSchemas } from '../../src/model/relations';
import { sessionKinds, type SessionKind, type SessionStatus } from '../../src/model/session';
import {
  AcceptanceRules,
  ImportSessionRequest,
  SessionImportService,
  SessionStatus as WireStatus,
} from '../../src/gen/sessionimport/v1/session_import';
import {
  ImportDirection,
  ListImportsRequest,
  SessionTraceService,
} from '../../src/gen/sessionimport/v1/session_trace';
import { GetSessionRequest, SessionReadService } from '../../src/gen/sessionimport/v1/session_read';
import { signShareToken } from '../../src/token/signing';
import { failureOf, sessionOf } from '../support/client';
import { addLogs, createSession, createTenant, type Tenant } from '../support/fixtures';
import { addDocuments } from '../support/documents';
import { checksums, select, sessionRow } from '../support/rows';
import { startHarness, writingNothing, type Harness } from '../support/service';

type Rules = Parameters<typeof AcceptanceRules.fromPartial>[0];

describe('rules for acceptance', () => {
  let harness: Harness;
  /** A fresh one for each test. */
  let target: Tenant;
  /** The service's clock stands still. */
  let now = new Date();
  before(async () => {
    harness = await startHarness({ environment: writingNothing, clock: () => now });
  });
  after(() => harness.stop());
  beforeEach(async () => {
    now = new Date('2026-03-15T10:20:30.400Z');
    target = await createTenant(harness.db);
  });

  const ago = (seconds: number, milliseconds = 0) =>
    new Date(now.getTime() - seconds * 1_000 - milliseconds);

  const newSession = (kind: SessionKind, columns: Parameters<typeof createSession>[3] = {}) =>
    createSession(harness.db, harness.source, kind, columns);

  /** A request to import a session: of the source, unless somebody else shares it. */
  async function requestFor(
    kind: SessionKind,
    sessionId: SessionId,
    rules?: Rules,
    { from = harness.source, to = target } = {},
  ): Promise<Partial<ImportSessionRequest>> {
    const shareToken = await signShareToken(harness.signer.privateJwk, {
      ...{ sessionId, kind, lifetime: 600, issuedAt: now },
      fromApplicationId: from.applicationId,
      forApplicationId: to.applicationId,
    });
    const acceptance = rules && AcceptanceRules.fromPartial(rules);
    return { shareToken, workflowId: to.workflows[kind], ...(acceptance ? { acceptance } : {}) };
  }

  const importing = (request: Partial<ImportSessionRequest>, to = target) =>
    harness.client.import(to.apiKey, request);

  /** The violations, as "rule subject", of a preview and of an import, which must be the same. */
  async function violations(request: Partial<ImportSessionRequest>): Promise<string[]> {
    const previewed = await failureOf(importing({ ...request, validateOnly: true }));
    const failure = await failureOf(importing(request));
    expect(failure).to.include({ code: 'FAILED_PRECONDITION', reason: 'ACCEPTANCE_NOT_MET' });
    expect(previewed).to.deep.equal(failure);
    return (failure.precondition?.violations ?? []).map(
      ({ type, subject }) => `${type} ${subject}`,
    );
  }

  /** How an import of a session with rules ends: "OK", or the rules that are violated. */
  async function judged(kind: SessionKind, id: SessionId, rules: Rules): Promise<string> {
    const request = await requestFor(kind, id, rules);
    const preview = await importing({ ...request, validateOnly: true }).catch(() => undefined);
    if (!preview) return (await violations(request)).map((each) => each.split(' ')[0]).join();
    await importing(request);
    return 'OK';
  }

  for (const kind of sessionKinds) {
    it(`count the age of a ${kind} session from its verification to the second, or from when it was made`, async () => {
      const maxAge = { seconds: 1_000, nanos: 0 };
      const young = { created_at: now };
      const old = { created_at: ago(1_000_000) };
      for (const [columns, result] of [
        [{ ...old, verified_at: ago(1_000) }, 'OK'],
        [{ ...young, verified_at: ago(1_000, 1) }, 'max_age'],
        [{ ...young, verified_at: ago(1_001) }, 'max_age'],
        [{ created_at: ago(1_000) }, 'OK'],
        [{ created_at: ago(1_000, 1) }, 'max_age'],
        [{ created_at: ago(0, -5) }, 'OK'],
      ] as const) {
        expect(await judged(kind, await newSession(kind, columns), { maxAge })).to.equal(result);
      }
    });

    it(`take a ${kind} session only with one of the statuses that are named`, async () => {
      const of = async (status: SessionStatus, statuses: WireStatus[]) =>
        judged(kind, await newSession(kind, { status }), { statuses });
      const { SESSION_STATUS_APPROVED: approved, SESSION_STATUS_KYC_EXPIRED: expired } = WireStatus;
      expect(await of('Approved', [approved])).to.equal('OK');
      expect(await of('Kyc Expired', [expired, approved, expired])).to.equal('OK');
      expect(await of('Declined', [])).to.equal('OK');
      expect(await of('Declined', [approved, expired])).to.equal('statuses');
      expect(await of('In Review', [approved])).to.equal('statuses');
    });

    it(`want rows in the named relations of a ${kind} session, where the log entry of an import does not count`, async () => {
      const { db } = harness;
      const bare = await newSession(kind);
      const relations = ['logs', 'reviews'];
      const subject = `relations sessions/${bare}`;
      expect(await violations(await requestFor(kind, bare, { relations }))).to.deep.equal([
        `${subject}/logs`,
        `${subject}/reviews`,
      ]);
      await addLogs(db, kind, bare, 1);
      const wanting = await requestFor(kind, bare, { relations });
      expect(await violations(wanting)).to.deep.equal([`${subject}/reviews`]);
      expect(await judged(kind, bare, { relations: ['logs', 'logs'] })).to.equal('OK');
      // A copy whose only log entry is that of its own import, which the next copy would not have.
      const copy = await importing(await requestFor(kind, await newSession(kind)));
      const id = toId<SessionId>(sessionOf(copy).sessionId);
      const third = await createTenant(db);
      const request = await requestFor(
        ...[kind, id],
        { relations: ['logs'] },
        { from: target, to: third },
      );
      expect((await failureOf(importing(request, third))).reason).to.equal('ACCEPTANCE_NOT_MET');
    });
  }

  for (const kind of sessionKinds) {
    for (const name of ['expected_details', 'contact_details'] as const) {
      it(`want the ${name} of a ${kind} session only if they name them`, async () => {
        const other = name === 'expected_details' ? 'contact_details' : 'expected_details';
        for (const [value, result] of [
          ['{"email": "a@example.com"}', 'OK'],
          ['{"first_name": null}', 'OK'],
          ['[1]', 'OK'],
          ['{}', 'relations'],
          ['[]', 'relations'],
          ['null', 'relations'],
          [null, 'relations'],
        ] as const) {
          const id = await newSession(kind, { [name]: value, [other]: null });
          expect(await judged(kind, id, { relations: [name] }), String(value)).to.equal(result);
        }
        const id = await newSession(kind, { [name]: null, [other]: '{"a": 1}' });
        const request = await requestFor(kind, id, { relations: [name, other] });
        const { precondition } = await failureOf(importing(request));
        expect(precondition?.violations).to.deep.equal([
          {
            type: 'relations',
            subject: `sessions/${id}/${name}`,
            description: 'Found: none. Wanted: details that are not empty.',
          },
        ]);
      });
    }

    it(`want the details that the workflow of a ${kind} session names`, async () => {
      const rules = { ...noRules, relations: ['contact_details'] };
      await updateWorkflow(harness.db, toId(target.workflows[kind]), rules);
      const [filled, empty] = [{ contact_details: '{"a": 1}' }, { contact_details: '{}' }];
      expect(await judged(kind, await newSession(kind, filled), {})).to.equal('OK');
      expect(await judged(kind, await newSession(kind, empty), {})).to.equal('relations');
    });
  }

  it('are not met if they name a relation that no session of the kind can have', async () => {
    const id = await newSession('user');
    expect(await judged('user', id, { relations: ['registry_checks'] })).to.equal('relations');
    const company = await newSession('business');
    expect(await judged('business', company, { relations: ['faces'] })).to.equal('relations');
  });

  for (const [kind, relation] of [
    ['user', 'id_verifications'],
    ['user', 'proofs_of_address'],
    ['business', 'documents'],
  ] as const) {
    it(`take ${relation} until the end of their last day in UTC, to the millisecond`, async () => {
      const { db } = harness;
      const of = async (moment: string, ...lastDays: (string | null)[]) => {
        now = new Date(moment);
        const id = await newSession(kind);
        await addDocuments(db, kind, relation, id, lastDays);
        return judged(kind, id, { documentsUnexpired: true });
      };
      const expired = 'documents_unexpired';
      expect(await of('2026-03-15T23:59:59.999Z', '2026-03-15')).to.equal('OK');
      expect(await of('2026-03-16T00:00:00.000Z', '2026-03-15')).to.equal(expired);
      expect(await of('2028-02-29T23:59:59.999Z', '2028-02-29')).to.equal('OK');
      expect(await of('2028-02-29T00:00:00.000Z', '2028-02-28')).to.equal(expired);
      expect(await of('2028-03-01T00:00:00.000Z', '2028-02-29')).to.equal(expired);
      expect(await of('2027-12-31T23:59:59.999Z', '2027-12-31', null)).to.equal('OK');
      expect(await of('2028-01-01T00:00:00.000Z', '2028-01-01', '2027-12-31')).to.equal(expired);
      expect(await of('2028-01-01T00:00:00.000Z', '9999-12-31', null)).to.equal('OK');
      expect(await of('2028-01-01T00:00:00.000Z')).to.equal('OK');
    });
  }

  it('know every relation whose rows have an expiration date', async () => {
    const columns = await select(
      `SELECT TABLE_NAME AS name FROM information_schema.COLUMNS
       WHERE TABLE_SCHEMA = DATABASE() AND COLUMN_NAME LIKE '%expir%' AND DATA_TYPE = 'date'`,
    );
    const known = sessionKinds.flatMap((kind) =>
      kindSchemas[kind].relations.flatMap(({ table, expiry }) => (expiry ? [table] : [])),
    );
    expect(columns.map(({ name }) => name)).to.have.members(known);
  });

  it('name every violation, with what was found and what is wanted, and write nothing but the refusals', async () => {
    const { db, client } = harness;
    const id = await newSession('user', { status: 'Declined', verified_at: ago(90_000) });
    await addDocuments(db, 'user', 'id_verifications', id, ['2026-03-14', '2026-03-15', null]);
    await addDocuments(db, 'user', 'proofs_of_address', id, ['2001-01-01']);
    const request = await requestFor('user', id, {
      maxAge: { seconds: 86_400, nanos: 0 },
      documentsUnexpired: true,
      statuses: [WireStatus.SESSION_STATUS_APPROVED, WireStatus.SESSION_STATUS_IN_REVIEW],
      relations: ['faces', 'id_verifications'],
    });
    const refusals = () =>
      select(
        `SELECT reason, preview FROM import_refusals WHERE application_id = ? ORDER BY created_at, id`,
        [toBinary(target.applicationId)],
      );
    const others = async () =>
      (await checksums()).filter(
        ({ Table: name }) => !/refusals|counters|outbox/.test(String(name)),
      );
    const before = await others();
    const failure = await failureOf(client.import(target.apiKey, request));
    expect(failure.metadata).to.deep.equal({ shared_from_session: id, violations: '5' });
    expect(failure.message).to.match(
      /violations: 5, .* The first: max_age, sessions\/\S+\. Found: /,
    );
    const today = '2026-03-15 (UTC) or later';
    expect(failure.precondition?.violations).to.deep.equal([
      {
        type: 'max_age',
        subject: `sessions/${id}`,
        description:
          'Found: verified at 2026-03-14T09:20:30.400Z. Wanted: at most 86400 s before 2026-03-15T10:20:30.400Z.',
      },
      {
        type: 'statuses',
        subject: `sessions/${id}`,
        description: 'Found: Declined. Wanted: In Review or Approved.',
      },
      {
        type: 'relations',
        subject: `sessions/${id}/faces`,
        description: 'Found: none. Wanted: at least one row.',
      },
      {
        type: 'documents_unexpired',
        subject: `sessions/${id}/id_verifications/0`,
        description: `Found: valid through 2026-03-14. Wanted: ${today}.`,
      },
      {
        type: 'documents_unexpired',
        subject: `sessions/${id}/proofs_of_address/0`,
        description: `Found: valid through 2001-01-01. Wanted: ${today}.`,
      },
    ]);
    expect(await violations(request)).to.have.length(5);
    expect(await others()).to.deep.equal(before);
    const reason = 'ACCEPTANCE_NOT_MET';
    expect(await refusals()).to.deep.equal([
      { reason, preview: 0 },
      { reason, preview: 1 },
      { reason, preview: 0 },
    ]);
  });

  it('name no more violations than a client accepts, and say how many there are', async () => {
    const { db } = harness;
    const id = await newSession('user');
    const many = Array.from({ length: 3_000 }, () => '2020-01-01');
    await addDocuments(db, 'user', 'id_verifications', id, many);
    await addDocuments(db, 'user', 'proofs_of_address', id, many.slice(0, 21));
    const request = await requestFor('user', id, { documentsUnexpired: true });
    const call = importing(request);
    const { metadata, precondition } = await failureOf(call);
    const error: unknown = await call.catch((failure: unknown) => failure);
    expect(metadata['violations']).to.equal('3021');
    const named = precondition?.violations ?? [];
    expect(named.length).to.be.within(15, 40);
    expect(named[0]?.subject).to.equal(`sessions/${id}/id_verifications/0`);
    const trailers = Object.entries((error as { metadata: { toJSON(): object } }).metadata.toJSON())
      .map(
        ([name, values]) =>
          `${name}${(values as Buffer[]).map((value) => Buffer.from(value).toString('base64')).join()}`,
      )
      .join('');
    expect(trailers.length).to.be.below(8_192 - 500);
  });

  it('are checked after everything else about the call, the session and the workflow', async () => {
    const rules = { relations: ['faces'] };
    const running = await newSession('user', { status: 'In Progress' });
    const request = await requestFor('user', running, rules);
    expect((await failureOf(importing(request))).reason).to.equal('SOURCE_SESSION_NOT_FINISHED');
    const finished = await requestFor('user', await newSession('user'), rules);
    const missing = { ...finished, workflowId: newId() };
    expect((await failureOf(importing(missing))).reason).to.equal('WORKFLOW_NOT_FOUND');
    const other = { ...finished, workflowId: target.workflows.business };
    expect((await failureOf(importing(other))).reason).to.equal('WORKFLOW_KIND_MISMATCH');
  });

  it('do not judge again what was imported before', async () => {
    const { db } = harness;
    const id = await newSession('user');
    const request = await requestFor('user', id, { documentsUnexpired: true });
    await importing(request);
    await addDocuments(db, 'user', 'id_verifications', id, ['2000-01-01']);
    for (const validateOnly of [true, false]) {
      const { reason } = await failureOf(importing({ ...request, validateOnly }));
      expect(reason).to.equal('SESSION_ALREADY_IMPORTED');
    }
  });

  it('are refused, with the name of the field, if no session could meet them or they are not understood', async () => {
    const fields = async (rules: Rules) => {
      const { reason, badRequest } = await failureOf(
        importing({ ...request, acceptance: AcceptanceRules.fromPartial(rules) }),
      );
      expect(reason).to.equal('INVALID_REQUEST');
      return badRequest?.fieldViolations.map(({ field }) => field);
    };
    const request = await requestFor('user', await newSession('user'));
    for (const maxAge of [
      { seconds: 0, nanos: 0 },
      { seconds: -1, nanos: 0 },
      { seconds: 1, nanos: 1 },
      { seconds: 3_155_760_001, nanos: 0 },
    ])
      expect(await fields({ maxAge })).to.deep.equal(['acceptance.max_age']);
    const { SESSION_STATUS_APPROVED: approved, SESSION_STATUS_EXPIRED: expired } = WireStatus;
    const { UNRECOGNIZED: unknown, SESSION_STATUS_UNSPECIFIED: none } = WireStatus;
    expect(await fields({ statuses: [approved, expired, none, unknown] })).to.deep.equal([
      'acceptance.statuses[1]',
      'acceptance.statuses[2]',
      'acceptance.statuses[3]',
    ]);
    expect(await fields({ relations: ['logs', '', 'LOGS', 'user_logs'] })).to.deep.equal([
      'acceptance.relations[1]',
      'acceptance.relations[2]',
      'acceptance.relations[3]',
    ]);
    for (const seconds of [1, 3_155_760_000])
      await importing({
        ...request,
        validateOnly: true,
        acceptance: AcceptanceRules.fromPartial({ maxAge: { seconds, nanos: 0 } }),
      });
  });

  it('are refused with as many wrong items as a client takes, and looked at up to a bound', async () => {
    const request = await requestFor('user', await newSession('user'));
    const refused = async (rules: Rules) =>
      failureOf(importing({ ...request, acceptance: AcceptanceRules.fromPartial(rules) }));
    const all = (count: number) => ({
      relations: Array.from({ length: count }, () => ''),
      statuses: Array.from({ length: count }, () => WireStatus.UNRECOGNIZED),
    });
    const { badRequest, message } = await refused(all(100));
    const named = badRequest?.fieldViolations ?? [];
    expect(named.length).to.be.within(10, 30);
    expect(message).to.include(`; and ${200 - named.length} more.`);
    const tooLong = await refused(all(101));
    expect(tooLong.badRequest?.fieldViolations.map(({ field }) => field)).to.deep.equal([
      'acceptance.statuses',
      'acceptance.relations',
    ]);
  });

  describe('of a workflow', () => {
    const rules = { ...noRules, maxAge: 1_000, relations: ['logs'] };

    it('hold for every import into it, and are shown to its application', async () => {
      const { db, client } = harness;
      await updateWorkflow(db, target.workflows.user, rules);
      const id = await newSession('user', { verified_at: ago(1_001) });
      const request = await requestFor('user', id);
      expect(await violations(request)).to.deep.equal([
        `max_age sessions/${id}`,
        `relations sessions/${id}/logs`,
      ]);
      const { workflows } = await client.call(SessionImportService.listWorkflows, target.apiKey, {
        ...{ sessionKind: 0, pageSize: 0, pageToken: '' },
      });
      expect(workflows.map(({ acceptance }) => acceptance)).to.deep.equal([
        AcceptanceRules.fromPartial({ maxAge: { seconds: 1_000, nanos: 0 }, relations: ['logs'] }),
        undefined,
      ]);
      await updateWorkflow(db, target.workflows.user, noRules);
      await importing(request);
    });

    it('are on record with what they let in or kept out, as they were, for its application alone', async () => {
      const { db, client, source } = harness;
      await updateWorkflow(db, target.workflows.user, rules);
      const verifiedAt = ago(900);
      const [taken, kept] = [
        await newSession('user', { verified_at: verifiedAt }),
        await newSession('user', { verified_at: ago(1_001) }),
      ];
      for (const id of [taken, kept]) await addLogs(db, 'user', id, 1);
      const statuses = [WireStatus.SESSION_STATUS_APPROVED];
      await importing(await requestFor('user', taken, { statuses }));
      await violations(await requestFor('user', kept));
      await updateWorkflow(db, target.workflows.user, noRules);

      const records = async (apiKey: string, direction: ImportDirection) => {
        const request = ListImportsRequest.fromPartial({ direction });
        const { imports } = await client.call(SessionTraceService.listImports, apiKey, request);
        return imports.filter(({ applicationId }) => applicationId === target.applicationId);
      };
      const maxAge = { seconds: 1_000, nanos: 0 };
      const told = AcceptanceRules.fromPartial({ maxAge, relations: ['logs'] });
      const own = await records(target.apiKey, ImportDirection.IMPORT_DIRECTION_INCOMING);
      expect(
        own.map((record) => [record.reason, record.verifiedAt, record.acceptance]),
      ).to.have.deep.members([
        [undefined, verifiedAt, { ...told, statuses }],
        ['ACCEPTANCE_NOT_MET', undefined, told],
        ['ACCEPTANCE_NOT_MET', undefined, told],
      ]);
      const others = await records(source.apiKey, ImportDirection.IMPORT_DIRECTION_OUTGOING);
      expect(others.map(({ verifiedAt: at, acceptance }) => [at, acceptance])).to.deep.equal([
        [undefined, undefined],
      ]);
    });

    it('are on record also if a later version has entered more of them', async () => {
      const { db, client } = harness;
      await importing(await requestFor('user', await newSession('user')));
      await db('session_imports')
        .where({ application_id: toBinary(target.applicationId) })
        .update({ acceptance: JSON.stringify({ max_age: 5, chip_read: true }) });
      const request = ListImportsRequest.fromPartial({});
      const { imports } = await client.call(
        SessionTraceService.listImports,
        target.apiKey,
        request,
      );
      const maxAge = { seconds: 5, nanos: 0 };
      expect(imports.map(({ acceptance }) => acceptance)).to.deep.equal([
        AcceptanceRules.fromPartial({ maxAge }),
      ]);
    });

    it('can be tightened by a request, and not relaxed', async () => {
      const { db } = harness;
      const statuses: SessionStatus[] = ['Approved', 'In Review'];
      await updateWorkflow(db, target.workflows.user, { ...rules, statuses });
      const of = async (
        seconds: number,
        columns: Parameters<typeof createSession>[3],
        more: Rules = {},
      ) => {
        const id = await newSession('user', columns);
        await addLogs(db, 'user', id, 1);
        return judged('user', id, { maxAge: { seconds, nanos: 0 }, ...more });
      };
      expect(await of(2_000, { verified_at: ago(1_000) })).to.equal('OK');
      expect(await of(2_000, { verified_at: ago(1_001) })).to.equal('max_age');
      expect(await of(500, { verified_at: ago(501) })).to.equal('max_age');
      const declined = { verified_at: now, status: 'Declined' } as const;
      const takesDeclined = { statuses: [WireStatus.SESSION_STATUS_DECLINED] };
      expect(await of(500, declined, takesDeclined)).to.equal('statuses');
      expect(await of(500, { verified_at: now }, takesDeclined)).to.equal('statuses');
      expect(await of(500, { verified_at: now }, { relations: ['faces'] })).to.equal('relations');
    });

    it('are not those of another application’s workflow, whatever the call names', async () => {
      const { db, source } = harness;
      await updateWorkflow(db, source.workflows.user, { ...rules, documentsUnexpired: true });
      const request = await requestFor('user', await newSession('user'));
      const { reason } = await failureOf(
        importing({ ...request, workflowId: source.workflows.user }),
      );
      expect(reason).to.equal('WORKFLOW_NOT_FOUND');
      await updateWorkflow(db, source.workflows.user, noRules);
    });

    it('that this version does not know let nothing in', async () => {
      const { db } = harness;
      const request = await requestFor('user', await newSession('user'));
      for (const acceptance of ['{"max_age": 10, "from": "2030"}', '[]', '{"statuses": []}']) {
        await db('workflows')
          .where({ id: toBinary(target.workflows.user) })
          .update({ acceptance });
        expect((await failureOf(importing(request))).reason).to.equal('INTERNAL');
      }
      await updateWorkflow(db, target.workflows.user, noRules);
      await importing(request);
    });
  });

  describe('with a request_id', () => {
    it('are part of the request, and equal however they are written', async () => {
      const id = await newSession('user', { status: 'Approved' });
      await addLogs(harness.db, 'user', id, 1);
      await addDocuments(harness.db, 'user', 'id_verifications', id, [null]);
      const { SESSION_STATUS_APPROVED: approved, SESSION_STATUS_DECLINED: declined } = WireStatus;
      const request = {
        ...(await requestFor('user', id, {
          statuses: [declined, approved],
          relations: ['logs', 'id_verifications'],
        })),
        requestId: newId(),
      };
      const answer = await importing(request);
      const again = AcceptanceRules.fromPartial({
        statuses: [approved, declined, declined],
        relations: ['id_verifications', 'logs', 'logs'],
      });
      expect(await importing({ ...request, acceptance: again })).to.deep.equal(answer);
      for (const other of [undefined, {}, { ...again, documentsUnexpired: true }]) {
        const acceptance = other && AcceptanceRules.fromPartial(other);
        const { reason } = await failureOf(importing({ ...request, acceptance }));
        expect(reason).to.equal('REQUEST_ID_REUSED');
      }
    });

    it('that set nothing are the same request as one without rules', async () => {
      const id = await newSession('user');
      const request = { ...(await requestFor('user', id)), vendorData: 'Ana', requestId: newId() };
      const answer = await importing({ ...request, acceptance: AcceptanceRules.fromPartial({}) });
      expect(await importing(request)).to.deep.equal(answer);
      const { shareToken = '', workflowId = '', vendorData } = request;
      const asked = ImportSessionRequest.fromPartial({ shareToken, workflowId, vendorData });
      const [entry] = await select(
        'SELECT request_digest FROM session_imports WHERE application_id = ? AND source_session_id = ?',
        [toBinary(target.applicationId), toBinary(id)],
      );
      const bytes = ImportSessionRequest.encode(asked).finish();
      const digest = createHash('sha256').update(bytes).digest();
      expect(entry?.['request_digest']).to.deep.equal(digest);
    });
  });

  describe('for the age', () => {
    for (const kind of sessionKinds) {
      for (const verified of [true, false]) {
        it(`follow the verification through copies of copies (${kind}, with verified_at: ${verified})`, async () => {
          const { db, source, client } = harness;
          const at = '2020-02-29 23:59:59.123456';
          let id = await newSession(kind, verified ? { verified_at: at } : { created_at: at });
          let from = source;
          for (let copies = 0; copies < 3; copies++) {
            const to = await createTenant(db);
            const { session } = await importing(await requestFor(kind, id, {}, { from, to }), to);
            id = toId(session?.sessionId ?? '');
            from = to;
            expect(await sessionRow(kind, id)).to.include({ verified_at: at });
            now = new Date(now.getTime() + 86_400_000);
          }
          const read = GetSessionRequest.fromPartial({ sessionId: id });
          const { session } = await client.call(SessionReadService.getSession, from.apiKey, read);
          expect(session?.verifiedAt?.toISOString()).to.equal('2020-02-29T23:59:59.123Z');
          const age = (now.getTime() - Date.parse('2020-02-29T23:59:59.123Z')) / 1_000;
          for (const [seconds, result] of [
            [Math.floor(age), 'ACCEPTANCE_NOT_MET'],
            [Math.ceil(age), undefined],
          ] as const) {
            const maxAge = { seconds, nanos: 0 };
            const request = await requestFor(kind, id, { maxAge }, { from });
            const ended = importing({ ...request, validateOnly: true });
            if (result) expect((await failureOf(ended)).reason).to.equal(result);
            else await ended;
          }
        });
      }

      it(`take no ${kind} session of unknown age: a copy that an older version has made`, async () => {
        const { db, client } = harness;
        const rules = { maxAge: { seconds: 3_155_760_000, nanos: 0 } };
        const old = {
          shared_from_session_id: toBinary(newId()),
          shared_from_application_id: toBinary(newId()),
        };
        const id = await newSession(kind, old);
        expect(await judged(kind, id, rules)).to.equal('max_age');
        // Its copies must not look younger than it is.
        const copy = toId<SessionId>(
          sessionOf(await importing(await requestFor(kind, id))).sessionId,
        );
        expect(await sessionRow(kind, copy)).to.include({ verified_at: null });
        const { session } = await client.call(
          ...[SessionReadService.getSession, target.apiKey],
          GetSessionRequest.fromPartial({ sessionId: copy }),
        );
        expect(session).to.include({ verifiedAt: undefined });
        const to = await createTenant(db);
        const request = await requestFor(kind, copy, rules, { from: target, to });
        const { reason, precondition } = await failureOf(importing(request, to));
        expect(reason).to.equal('ACCEPTANCE_NOT_MET');
        expect(precondition?.violations[0]?.description).to.match(
          /^Found: a copy that does not say/,
        );
      });
    }

    it('take such copies after the runbook’s statement has filled the time in, link by link', async function () {
      const { db, source } = harness;
      // The runbook is about MySQL.
      const [server] = await select('SELECT VERSION() AS version');
      if (String(server?.['version']).includes('MariaDB')) this.skip();
      const page = readFileSync(path.join(__dirname, '..', '..', 'docs', 'operations.md'), 'utf8');
      const [sql = ''] = /UPDATE user_sessions c\n.*?(?=;)/s.exec(page) ?? [];
      const fill = ({ applicationId }: Tenant) =>
        db.raw(sql.replace('<importing application id>', applicationId));
      const third = await createTenant(db);
      const at = '2020-02-29 23:59:59.123456';
      const of = (id: SessionId, from: Tenant) => ({
        shared_from_session_id: toBinary(id),
        shared_from_application_id: toBinary(from.applicationId),
      });
      const first = await newSession('user', { created_at: at });
      const second = await createSession(db, target, 'user', of(first, source));
      const last = await createSession(db, third, 'user', of(second, target));
      const orphan = await createSession(db, third, 'user', of(newId(), source));
      const times = () =>
        Promise.all(
          [second, last, orphan].map(async (id) => (await sessionRow('user', id))?.['verified_at']),
        );
      await fill(third);
      expect(await times()).to.deep.equal([null, null, null]);
      await fill(target);
      await fill(third);
      expect(await times()).to.deep.equal([at, at, null]);
    });
  });
});
