import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { newId, toBinary, toId, type SessionId } from '../../src/model/ids';
import { SessionStatus as WireStatus } from '../../src/gen/sessionimport/v1/session_import';
import {
  ImportOutcome,
  ImportRecord,
  SessionTraceService,
} from '../../src/gen/sessionimport/v1/session_trace';
import { sessionKinds, type SessionKind } from '../../src/model/session';
import { wireKinds } from '../../src/rpc/wire';
import { failureOf, sessionOf } from '../support/client';
import { createSession, createTenant, type Tenant } from '../support/fixtures';
import { without } from '../support/helpers';
import { startHarness, type Harness } from '../support/service';

describe('the provenance of a session', () => {
  let harness: Harness;
  before(async () => {
    harness = await startHarness();
  });
  after(() => harness.stop());

  const provenance = (tenant: Tenant, sessionId: string) =>
    harness.client.call(SessionTraceService.getProvenance, tenant.apiKey, { sessionId });

  /** Imports a session of one tenant into another, and returns the copy's id. */
  async function pass(
    kind: SessionKind,
    from: Tenant,
    sessionId: SessionId,
    to: Tenant,
  ): Promise<SessionId> {
    const shareToken = await harness.signer.share(from, to, kind, sessionId);
    const request = { shareToken, workflowId: to.workflows[kind], trustReview: true };
    return toId(sessionOf(await harness.client.import(to.apiKey, request)).sessionId);
  }

  /** A session that went from A to B, to C, back to A, and to D. */
  async function journey(kind: SessionKind) {
    const { db } = harness;
    const tenants = await Promise.all(Array.from({ length: 4 }, () => createTenant(db)));
    const [a, b, c, d] = tenants as [Tenant, Tenant, Tenant, Tenant];
    const original = await createSession(db, a, kind);
    const inB = await pass(kind, a, original, b);
    const inC = await pass(kind, b, inB, c);
    const backInA = await pass(kind, c, inC, a);
    const inD = await pass(kind, a, backInA, d);
    return { a, b, c, d, original, inB, inC, backInA, inD };
  }

  async function remove(kind: SessionKind, ...ids: readonly SessionId[]): Promise<void> {
    for (const id of ids) {
      await harness
        .db(`${kind}_sessions`)
        .where({ id: toBinary(id) })
        .delete();
    }
  }

  /** A step less what differs from run to run. */
  const essence = (record: ImportRecord | undefined): object => {
    expect(record?.createdAt).to.be.a('date');
    const tokens = ['createdAt', 'verifiedAt', 'shareTokenId', 'signingKeyId', 'apiKeyId'];
    return tokens.reduce<object>(without, record ?? {});
  };

  for (const kind of sessionKinds) {
    describe(`of kind ${kind} that went from A to B, to C, back to A, and to D`, () => {
      let went: Awaited<ReturnType<typeof journey>>;
      before(async () => {
        went = await journey(kind);
      });

      const imported = { outcome: ImportOutcome.IMPORT_OUTCOME_IMPORTED };
      const blank = without(
        without(without(ImportRecord.fromPartial(imported), 'createdAt'), 'shareTokenId'),
        'signingKeyId',
      );
      const withheld = without(without(blank, 'apiKeyId'), 'verifiedAt');

      /** A step as the application that shared sees it. */
      const shared = (from: Tenant, session: SessionId, to: Tenant) => ({
        ...withheld,
        applicationId: to.applicationId,
        sessionKind: wireKinds[kind],
        sharedFromSession: session,
        sharedFromApplication: from.applicationId,
      });

      /** A step as the application that imported sees it. */
      const own = (from: Tenant, session: SessionId, to: Tenant, copy: SessionId) => ({
        ...shared(from, session, to),
        sessionId: copy,
        sourceStatus: WireStatus.SESSION_STATUS_APPROVED,
        trustReview: true,
      });

      async function expectSteps(tenant: Tenant, session: SessionId, expected: object[]) {
        const { steps, complete } = await provenance(tenant, session);
        expect(complete).to.equal(true);
        expect(steps.map(({ record }) => essence(record))).to.deep.equal(expected);
        for (const step of steps) {
          const hidden = step.record?.applicationId === undefined;
          expect(step.withheld).to.equal(hidden);
          expect(step.record?.shareTokenId === undefined).to.equal(hidden);
          expect(step.record?.signingKeyId === undefined).to.equal(hidden);
          const ownImport = step.record?.applicationId === tenant.applicationId;
          expect(step.record?.apiKeyId === undefined).to.equal(!ownImport);
          expect(step.record?.verifiedAt === undefined).to.equal(!ownImport);
        }
      }

      const views = async () => {
        const { a, b, c, d, original, inB, inC, backInA, inD } = went;
        await expectSteps(b, inB, [own(a, original, b, inB)]);
        await expectSteps(c, inC, [own(b, inB, c, inC), withheld]);
        await expectSteps(a, backInA, [own(c, inC, a, backInA), withheld, shared(a, original, b)]);
        await expectSteps(d, inD, [own(a, backInA, d, inD), withheld, withheld, withheld]);
      };

      it('shows each application its part, and withholds the rest', views);

      it('tells nobody an id of an import that does not concern it', async () => {
        const { a, b, c, d, original, inB, inC, inD } = went;
        const answer = JSON.stringify(await provenance(d, inD));
        const others = [b.applicationId, c.applicationId, original, inB, inC];
        expect(others.filter((id) => answer.includes(id))).to.deep.equal([]);
        expect(answer).to.include(a.applicationId);
      });

      it('has no steps for the original', async () => {
        expect(await provenance(went.a, went.original)).to.deep.equal({
          steps: [],
          complete: true,
        });
      });

      it('is the same when every session on the way was deleted', async () => {
        const { original, inB, inC, backInA, inD } = went;
        await remove(kind, original, inB, inC, backInA, inD);
        await views();
      });
    });
  }

  it('is not complete where a copy is not on record', async () => {
    const { db, source, target } = harness;
    const stray = await createSession(db, source, 'user', {
      shared_from_session_id: toBinary(newId()),
      shared_from_application_id: toBinary(newId()),
    });
    expect(await provenance(source, stray)).to.deep.equal({ steps: [], complete: false });
    const copy = await pass('user', source, stray, target);
    const { steps, complete } = await provenance(target, copy);
    expect(steps.map(({ record }) => record?.sharedFromSession)).to.deep.equal([stray]);
    expect(complete).to.equal(false);
  });

  it('ends after 100 steps, and says whether that is all', async () => {
    const { db, target } = harness;
    const ids = Array.from({ length: 102 }, () => newId<SessionId>());
    const entries = ids.slice(1).map((id, index) => ({
      application_id: toBinary(target.applicationId),
      source_session_id: toBinary(ids[index] ?? id),
      source_application_id: toBinary(newId()),
      session_kind: 'user',
      source_status: 'Approved',
      session_id: toBinary(id),
      trust_review: false,
      api_key_id: toBinary(newId()),
      token_digest: randomBytes(32),
      created_at: new Date(),
    }));
    await db('session_imports').insert(entries);
    const whole = await provenance(target, ids[100] ?? '');
    expect(whole.steps).to.have.length(100);
    expect(whole.complete).to.equal(true);
    const cut = await provenance(target, ids[101] ?? '');
    expect(cut.steps).to.have.length(100);
    expect(cut.complete).to.equal(false);
  });

  it('is told to nobody else: another’s session is the same as none', async () => {
    const { db, source, target } = harness;
    const original = await createSession(db, source, 'business');
    const copy = await pass('business', source, original, target);
    const gone = await createSession(db, target, 'user');
    await remove('user', gone);
    const answers = async (tenant: Tenant, id: SessionId) => {
      const failure = await failureOf(provenance(tenant, id));
      return JSON.parse(JSON.stringify(failure).replaceAll(id, 'the id')) as object;
    };
    const nobodys = await answers(target, newId());
    expect(nobodys).to.deep.include({
      code: 'NOT_FOUND',
      reason: 'SESSION_NOT_FOUND',
      metadata: { session_id: 'the id' },
      resource: {
        resourceType: 'session-import/session',
        resourceName: 'the id',
        owner: '',
        description: '',
      },
    });
    expect(await answers(target, original)).to.deep.equal(nobodys);
    expect(await answers(source, copy)).to.deep.equal(nobodys);
    expect(await answers(target, gone)).to.deep.equal(nobodys);
    const third = await createTenant(db);
    expect(await answers(third, copy)).to.deep.equal(nobodys);
    await remove('business', original, copy);
    expect(await answers(third, copy)).to.deep.equal(nobodys);
    expect(await answers(source, copy)).to.deep.equal(nobodys);
  });
});
