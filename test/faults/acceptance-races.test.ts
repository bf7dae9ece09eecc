import { expect } from 'chai';
import * as fc from 'fast-check';
import { noRules, type AcceptanceRules as StoredRules } from '../../src/model/acceptance';
import { fromBinary, toBinary, type SessionId, type WorkflowId } from '../../src/model/ids';
import { kindSchemas } from '../../src/model/relations';
import { sessionKinds, type SessionKind, type SessionStatus } from '../../src/model/session';
import { createWorkflow, updateWorkflow } from '../../src/store/accounts';
import {
  AcceptanceRules,
  SessionStatus as WireStatus,
  type ImportSessionRequest,
} from '../../src/gen/sessionimport/v1/session_import';
import { signShareToken } from '../../src/token/signing';
import { failureOf } from '../support/client';
import { copiesIn } from '../support/companies';
import { addDocuments, addRows } from '../support/documents';
import { addLogs, createSession } from '../support/fixtures';
import { rowLockWaits, tableRows } from '../support/rows';
import { startProxiedHarness, type ProxiedHarness } from '../support/service';

const now = new Date('2026-03-15T10:20:30.400Z');

describe('acceptance', () => {
  let harness: ProxiedHarness;
  before(async () => {
    harness = await startProxiedHarness({ DATABASE_LOCK_WAIT: '20', DATABASE_SILENCE: '60' });
  });
  after(() => harness.stop());

  type Request = Partial<ImportSessionRequest>;
  type Rules = Parameters<typeof AcceptanceRules.fromPartial>[0];

  const requestFor = async (kind: SessionKind, id: SessionId, rules?: Rules): Promise<Request> => ({
    shareToken: await harness.signer.share(harness.source, harness.target, kind, id),
    workflowId: harness.target.workflows[kind],
    ...(rules ? { acceptance: AcceptanceRules.fromPartial(rules) } : {}),
  });

  const importing = (request: Request) => harness.client.import(harness.target.apiKey, request);

  const newWorkflow = (kind: SessionKind, acceptance: StoredRules = noRules) =>
    createWorkflow(harness.db, {
      ...{ applicationId: harness.target.applicationId, kind, name: 'rules', acceptance },
    });

  /** The violations, as "rule subject"; empty: the call succeeds. */
  async function violations(call: Promise<unknown>): Promise<string[]> {
    const error = await call.then(
      () => undefined,
      (failure: unknown) => failure as Error,
    );
    if (!error) return [];
    const { reason, precondition, message } = await failureOf(Promise.reject(error));
    expect(reason, message).to.equal('ACCEPTANCE_NOT_MET');
    return (precondition?.violations ?? []).map(({ type, subject }) => `${type} ${subject}`);
  }

  /** Locks a session like somebody who changes it. */
  async function writerOf(kind: SessionKind, id: SessionId) {
    const writer = await harness.db.transaction();
    await writer(kindSchemas[kind].sessions)
      .where({ id: toBinary(id) })
      .forUpdate();
    return writer;
  }

  const relations = { user: 'id_verifications', business: 'documents' } as const;

  for (const kind of sessionKinds) {
    it(`judges a ${kind} session as changed by somebody while the import waited for it`, async () => {
      const { db, target } = harness;
      const statuses = [WireStatus.SESSION_STATUS_APPROVED];
      const id = await createSession(db, harness.source, kind);
      await addDocuments(db, kind, relations[kind], id, ['2999-12-31']);
      const request = await requestFor(kind, id, { documentsUnexpired: true, statuses });
      const writer = await writerOf(kind, id);
      const found = violations(importing(request));
      await rowLockWaits();
      await writer(`${kind}_${relations[kind]}`)
        .where({ session_id: toBinary(id) })
        .update({ expiration_date: '2020-01-01' });
      await writer(kindSchemas[kind].sessions)
        .where({ id: toBinary(id) })
        .update({ status: 'In Review' });
      await writer.commit();
      expect(await found).to.deep.equal([
        `statuses sessions/${id}`,
        `documents_unexpired sessions/${id}/${relations[kind]}/0`,
      ]);
      expect(await copiesIn(target, id)).to.deep.equal([]);
    });

    it(`uses the rules that the workflow got while the import waited for the ${kind} session`, async () => {
      const { db, source } = harness;
      const workflowId = await newWorkflow(kind);
      const id = await createSession(db, source, kind);
      await addDocuments(db, kind, relations[kind], id, ['2020-01-01']);
      const request = { ...(await requestFor(kind, id)), workflowId };
      const writer = await writerOf(kind, id);
      const found = violations(importing(request));
      await rowLockWaits();
      await updateWorkflow(db, workflowId, { ...noRules, documentsUnexpired: true });
      await writer.commit();
      expect(await found).to.deep.equal([
        `documents_unexpired sessions/${id}/${relations[kind]}/0`,
      ]);
      await updateWorkflow(db, workflowId, noRules);
      expect(await violations(importing(request))).to.deep.equal([]);
    });
  }

  it('lets in no session that does not meet the rules, while somebody changes it', async () => {
    const { db, source, target } = harness;
    const workflowId = await newWorkflow('user', { ...noRules, documentsUnexpired: true });
    const endings = await Promise.all(
      Array.from({ length: 40 }, async (_, index) => {
        const id = await createSession(db, source, 'user');
        await addDocuments(db, 'user', 'id_verifications', id, ['2999-12-31']);
        const request = { ...(await requestFor('user', id)), workflowId };
        // Half of the imports begin before the writer, and half when it holds the session.
        const early = index % 2 === 0 ? violations(importing(request)) : undefined;
        const writer = await writerOf('user', id);
        const importingToo = early ?? violations(importing(request));
        await writer('user_id_verifications')
          .where({ session_id: toBinary(id) })
          .update({ expiration_date: '2020-01-01' });
        await writer.commit();
        const found = await importingToo;
        const copies = await copiesIn(target, id);
        expect(copies).to.have.length(found.length === 0 ? 1 : 0);
        for (const { id: copy } of copies) {
          const [document] = await tableRows(
            'user_id_verifications',
            fromBinary<SessionId>(copy as Buffer),
          );
          expect(document).to.include({ expiration_date: '2999-12-31' });
        }
        return found.length;
      }),
    );
    expect(endings).to.include(1);
  });

  describe('costs', () => {
    /** What is sent to MySQL for a call, in its transaction. */
    async function sentFor(request: Request): Promise<string[]> {
      const sent = new Map<number, string[]>();
      harness.proxy.intercept = ({ sql, connectionId }) => {
        sent.set(connectionId, [...(sent.get(connectionId) ?? []), sql]);
      };
      await importing({ ...request, validateOnly: true }).catch(() => undefined);
      harness.proxy.intercept = undefined;
      const all = [...sent.values()].find((some) =>
        some.some((sql) => sql.includes('FROM workflows')),
      );
      // A new connection is set up first.
      const begin = (all ?? []).findIndex((sql) => sql.startsWith('BEGIN'));
      expect(begin).to.be.at.least(0);
      return (all ?? []).slice(begin);
    }

    const readsDocuments = (sent: readonly string[]) =>
      sent.filter((sql) => sql.includes('expiration_date')).length;

    for (const kind of sessionKinds) {
      it(`nothing without rules, one statement but no round trip with rules about documents (${kind})`, async () => {
        const id = await createSession(harness.db, harness.source, kind);
        const request = await requestFor(kind, id);
        // What is measured once is not measured again.
        await sentFor(request);
        const plain = await sentFor(request);
        expect(readsDocuments(plain)).to.equal(0);
        const others = await requestFor(kind, id, {
          maxAge: { seconds: 1_000, nanos: 0 },
          statuses: [WireStatus.SESSION_STATUS_APPROVED],
          relations: [],
        });
        const withOthers = await sentFor(others);
        expect(withOthers.length).to.equal(plain.length);
        expect(readsDocuments(withOthers)).to.equal(0);
        const rules = await requestFor(kind, id, { documentsUnexpired: true });
        const withRules = await sentFor(rules);
        expect(withRules.length).to.equal(plain.length);
        expect(readsDocuments(withRules)).to.equal(1);
      });

      it(`nothing for the rules of another application’s ${kind} workflow`, async () => {
        const { db, source } = harness;
        const workflowId = source.workflows[kind];
        await updateWorkflow(db, workflowId, { ...noRules, documentsUnexpired: true });
        const id = await createSession(db, source, kind);
        const request = { ...(await requestFor(kind, id)), workflowId };
        for (const _ of ['unknown', 'known'])
          expect(readsDocuments(await sentFor(request))).to.equal(0);
        await updateWorkflow(db, workflowId, noRules);
      });

      it(`one round trip when a ${kind} workflow is first seen to have rules about documents`, async () => {
        const { db, source } = harness;
        const workflowId = await newWorkflow(kind);
        const id = await createSession(db, source, kind);
        const request = { ...(await requestFor(kind, id)), workflowId };
        const plain = await sentFor(request);
        await updateWorkflow(db, workflowId, { ...noRules, documentsUnexpired: true });
        expect((await sentFor(request)).length).to.equal(plain.length + 1);
        const known = await sentFor(request);
        expect([known.length, readsDocuments(known)]).to.deep.equal([plain.length, 1]);
        await updateWorkflow(db, workflowId, noRules);
        await sentFor(request);
        expect(readsDocuments(await sentFor(request))).to.equal(0);
      });
    }
  });
});

describe('acceptance of any session by any rules', () => {
  let harness: ProxiedHarness;
  before(async () => {
    harness = await startProxiedHarness({}, () => now);
  });
  after(() => harness.stop());

  const statuses: readonly SessionStatus[] = ['Approved', 'Declined', 'In Review', 'Kyc Expired'];
  const plain = {
    user: ['id_verifications', 'proofs_of_address', 'faces', 'locations', 'reviews'],
    business: ['documents', 'registry_checks', 'locations', 'reviews'],
  } as const;

  /** A session, as the tests know it. */
  interface Drawn {
    readonly status: SessionStatus;
    /** How long ago it was verified, in milliseconds. */
    readonly age: number;
    /** By relation: the last days of documents, in days from today; null: none, or no document. */
    readonly rows: Readonly<Record<string, readonly (number | null)[]>>;
  }

  const anySession = (kind: SessionKind): fc.Arbitrary<Drawn> =>
    fc.record({
      status: fc.constantFrom(...statuses),
      age: fc.constantFrom(0, 9_999, 10_000, 10_001, 20_000, 86_400_000),
      rows: fc.record(
        Object.fromEntries(
          plain[kind].map((relation) => [
            relation,
            fc.array(fc.constantFrom(-400, -1, 0, 1, 400, null), { maxLength: 2 }),
          ]),
        ),
      ),
    });

  const anyRules = (kind: SessionKind): fc.Arbitrary<StoredRules> =>
    fc.record({
      maxAge: fc.constantFrom(null, 10, 20),
      documentsUnexpired: fc.boolean(),
      statuses: fc.option(fc.subarray([...statuses], { minLength: 1 })),
      relations: fc.subarray([...plain[kind]], { maxLength: 2 }),
    });

  const isDocument = (relation: string) =>
    ['id_verifications', 'proofs_of_address', 'documents'].includes(relation);

  /** The second implementation: which rules are violated, and by what. */
  function judge(session: Drawn, all: readonly StoredRules[]): Set<string> {
    const found = new Set<string>();
    for (const rules of all) {
      if (rules.maxAge !== null && session.age > rules.maxAge * 1_000) found.add('max_age ');
      if (rules.statuses && !rules.statuses.includes(session.status)) found.add('statuses ');
      for (const relation of rules.relations) {
        if (session.rows[relation]?.length === 0) found.add(`relations /${relation}`);
      }
      if (!rules.documentsUnexpired) continue;
      for (const [relation, days] of Object.entries(session.rows)) {
        if (!isDocument(relation)) continue;
        for (const [ordinal, day] of days.entries()) {
          if (day !== null && day < 0) found.add(`documents_unexpired /${relation}/${ordinal}`);
        }
      }
    }
    return found;
  }

  const dayAfter = (days: number | null) =>
    days === null ? null : new Date(now.getTime() + days * 86_400_000).toISOString().slice(0, 10);

  async function insert(kind: SessionKind, { status, age, rows }: Drawn): Promise<SessionId> {
    const { db, source } = harness;
    const verified = new Date(now.getTime() - age);
    const id = await createSession(db, source, kind, { status, created_at: verified });
    await addLogs(db, kind, id, 1);
    for (const [relation, days] of Object.entries(rows)) {
      if (isDocument(relation)) await addDocuments(db, kind, relation, id, days.map(dayAfter));
      else
        await addRows(
          db,
          kind,
          relation,
          id,
          days.map((_, ordinal) => ({ ordinal })),
        );
    }
    return id;
  }

  for (const kind of sessionKinds) {
    it(`is what a second implementation says, also in groups of calls with different rules (${kind})`, async () => {
      const { db, target, signer, source, client } = harness;
      const workflows = await Promise.all(
        fc.sample(anyRules(kind), 6).map(async (acceptance, index) => {
          const rules = index === 0 ? noRules : acceptance;
          const workflow = { applicationId: target.applicationId, kind, name: 'any' };
          return { id: await createWorkflow(db, { ...workflow, acceptance: rules }), rules };
        }),
      );
      const calls = fc.sample(
        fc.tuple(
          anySession(kind),
          fc.option(anyRules(kind)),
          fc.nat(workflows.length - 1),
          fc.boolean(),
        ),
        64,
      );
      const judged = await Promise.all(
        calls.map(async ([session, rules, index, validateOnly]) => {
          const workflow = workflows[index] as { id: WorkflowId; rules: StoredRules };
          const id = await insert(kind, session);
          const request = {
            shareToken: await signShareToken(signer.privateJwk, {
              ...{ sessionId: id, kind, lifetime: 600, issuedAt: now },
              fromApplicationId: source.applicationId,
              forApplicationId: target.applicationId,
            }),
            workflowId: workflow.id,
            validateOnly,
            ...(rules ? { acceptance: wire(rules) } : {}),
          };
          return { id, request, expected: judge(session, [workflow.rules, rules ?? noRules]) };
        }),
      );
      const found = await Promise.all(
        judged.map(async ({ id, request }) => {
          const error = await client.import(target.apiKey, request).then(
            () => undefined,
            (failure: unknown) => failure as Error,
          );
          if (!error) return new Set<string>();
          const { reason, precondition } = await failureOf(Promise.reject(error));
          expect(reason).to.equal('ACCEPTANCE_NOT_MET');
          return new Set(
            precondition?.violations.map(
              ({ type, subject }) => `${type} ${subject.replace(`sessions/${id}`, '')}`,
            ),
          );
        }),
      );
      for (const [index, { expected }] of judged.entries()) {
        expect(found[index], JSON.stringify(calls[index])).to.deep.equal(expected);
      }
      // Both outcomes have occurred.
      expect(new Set(judged.map(({ expected }) => expected.size > 0)).size).to.equal(2);
    });
  }

  const wireStatus: Readonly<Partial<Record<SessionStatus, WireStatus>>> = {
    Approved: WireStatus.SESSION_STATUS_APPROVED,
    Declined: WireStatus.SESSION_STATUS_DECLINED,
    'In Review': WireStatus.SESSION_STATUS_IN_REVIEW,
    'Kyc Expired': WireStatus.SESSION_STATUS_KYC_EXPIRED,
  };

  function wire({ maxAge, documentsUnexpired, statuses: some, relations }: StoredRules) {
    return AcceptanceRules.fromPartial({
      maxAge: maxAge === null ? undefined : { seconds: maxAge, nanos: 0 },
      documentsUnexpired,
      statuses: (some ?? []).flatMap((status) => wireStatus[status] ?? []),
      relations: [...relations],
    });
  }
});
