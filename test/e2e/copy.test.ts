import { expect } from 'chai';
import * as fc from 'fast-check';
import { toBinary, toId, type SessionId } from '../../src/model/ids';
import { carriedColumns } from '../../src/store/sessions/copies';
import { kindSchemas } from '../../src/model/relations';
import { sessionKinds, type SessionKind } from '../../src/model/session';
import {
  SessionKind as WireKind,
  SessionStatus,
} from '../../src/gen/sessionimport/v1/session_import';
import { sessionOf, rowsOf } from '../support/client';
import { addLogs, createSession, createTenant } from '../support/fixtures';
import { anyRelations, insertRelations } from '../support/random-session';
import { relationRows, select, sessionRow, type Row, type Rows } from '../support/rows';
import { startHarness, type Harness } from '../support/service';

describe('a copy', () => {
  let harness: Harness;
  before(async () => {
    harness = await startHarness();
  });
  after(() => harness.stop());

  for (const kind of sessionKinds) {
    it(`of any ${kind} session has every column of every row, and leaves the original as it was`, async () => {
      const { db, source, signer, client } = harness;
      await fc.assert(
        fc.asyncProperty(await anyRelations(kind), fc.boolean(), async (relations, trustReview) => {
          const target = await createTenant(db);
          const original = await createSession(db, source, kind);
          await insertRelations(db, kind, original, relations);
          const before = await everythingOf(kind, original);

          const response = await client.import(target.apiKey, {
            shareToken: await signer.share(source, target, kind, original),
            workflowId: target.workflows[kind],
            trustReview,
          });

          const copy = toId<SessionId>(sessionOf(response).sessionId);
          const copied = await relationRows(kind, copy);
          const { logs } = kindSchemas[kind];
          expect(withoutLast(copied, logs)).to.deep.equal(asCopied(before.relations));
          expect(rowsOf(response)).to.deep.equal(countsOf(kind, before.relations));
          expect(await everythingOf(kind, original)).to.deep.equal(before);
        }),
        // A failing session is too large to be worth shrinking: the difference says which column.
        { numRuns: 12, endOnFailure: true },
      );
    });

    it(`of a ${kind} session without any rows is a session without any rows but the import's log entry`, async () => {
      const { db, source, target, signer, client } = harness;
      const original = await createSession(db, source, kind);
      const response = await client.import(target.apiKey, {
        shareToken: await signer.share(source, target, kind, original),
        workflowId: target.workflows[kind],
      });
      const copy = toId<SessionId>(sessionOf(response).sessionId);
      const { logs, relations } = kindSchemas[kind];
      const rows = await relationRows(kind, copy);
      expect(rows[logs]).to.have.length(1);
      expect(withoutLast(rows, logs)).to.deep.equal(await relationRows(kind, original));
      expect(response.clonedRelations).to.deep.equal(
        relations.map(({ name }) => ({ relation: name, rows: 0 })),
      );
    });

    it(`of a ${kind} session takes along what describes the check, and nothing of the source's integration`, async () => {
      const { db, source, target, signer, client } = harness;
      const original = await createSession(db, source, kind);
      const response = await client.import(target.apiKey, {
        shareToken: await signer.share(source, target, kind, original),
        workflowId: target.workflows[kind],
        vendorData: 'customer-17',
        trustReview: true,
      });
      const session = sessionOf(response);
      const from = await sessionRow(kind, original);
      const copy = await sessionRow(kind, toId(session.sessionId));
      for (const column of carriedColumns) expect(copy?.[column]).to.equal(from?.[column]);
      expect(copy).to.include({ callback: null, metadata: null, workflow_version: 1 });
      expect(copy?.['application_id']).to.deep.equal(toBinary(target.applicationId));
      expect(copy?.['workflow_id']).to.deep.equal(toBinary(target.workflows[kind]));
      expect(copy?.['vendor_data']).to.deep.equal(Buffer.from('customer-17'));
      expect(copy?.['shared_from_session_id']).to.deep.equal(toBinary(original));
      expect(copy?.['shared_from_application_id']).to.deep.equal(toBinary(source.applicationId));
      const [entity] = await select('SELECT * FROM ?? WHERE id = ?', [
        kindSchemas[kind].vendorEntities,
        copy?.['vendor_entity_id'],
      ]);
      expect(entity?.['application_id']).to.deep.equal(toBinary(target.applicationId));
      expect(entity?.['vendor_data']).to.deep.equal(Buffer.from('customer-17'));
    });

    it(`of a ${kind} session is answered with its id, number, URL, kind, status and origin`, async () => {
      const { db, source, signer, client } = harness;
      const target = await createTenant(db);
      const original = await createSession(db, source, kind, { status: 'Declined' });
      await addLogs(db, kind, original, 3);
      const started = Date.now();
      const response = await client.import(target.apiKey, {
        shareToken: await signer.share(source, target, kind, original),
        workflowId: target.workflows[kind],
        trustReview: true,
      });
      const session = sessionOf(response);
      const row = await sessionRow(kind, toId(session.sessionId));
      expect(session).to.deep.include({
        sessionNumber: 1,
        sessionUrl: `https://verify.example.com/session/${String(row?.['session_token'])}`,
        sessionKind: kind === 'user' ? WireKind.SESSION_KIND_USER : WireKind.SESSION_KIND_BUSINESS,
        status: SessionStatus.SESSION_STATUS_DECLINED,
        workflowId: target.workflows[kind],
        vendorData: undefined,
        sharedFromSession: original,
        sharedFromApplication: source.applicationId,
      });
      expect(session.sessionUrl).to.match(/\/[\w-]{43}$/);
      expect(session.createdAt?.getTime()).to.be.within(started - 1, Date.now() + 1);
      expect(rowsOf(response)).to.deep.equal({ logs: 3 });
    });
  }

  it('of a copy is a copy, that names the session it was made of', async () => {
    const { db, source, target, signer, client } = harness;
    const third = await createTenant(db);
    const original = await createSession(db, source, 'user');
    await addLogs(db, 'user', original, 2);
    const first = sessionOf(
      await client.import(target.apiKey, {
        shareToken: await signer.share(source, target, 'user', original),
        workflowId: target.workflows.user,
      }),
    );
    const second = await client.import(third.apiKey, {
      shareToken: await signer.share(target, third, 'user', toId(first.sessionId)),
      workflowId: third.workflows.user,
    });
    expect(sessionOf(second).sharedFromSession).to.equal(first.sessionId);
    // The entry that says how the first copy was imported stays behind.
    expect(rowsOf(second)).to.deep.equal({ logs: 2 });
  });

  it('keeps a key person’s own session as provenance only, and a copy of the copy does not keep it', async () => {
    const { db, source, target, signer, client } = harness;
    const third = await createTenant(db);
    const own = await createSession(db, source, 'user');
    const original = await createSession(db, source, 'business');
    const now = new Date();
    const common = { status: 'Approved', created_at: now, updated_at: now };
    await db('business_key_people_checks').insert({
      session_id: toBinary(original),
      ordinal: 0,
      ...common,
    });
    await db('business_key_people').insert({
      session_id: toBinary(original),
      check_ordinal: 0,
      ordinal: 0,
      party_kind: 'person',
      is_skipped: false,
      kyc_session_id: toBinary(own),
      ...common,
    });
    let from = { tenant: source, id: original };
    for (const [to, origin] of [
      [target, toBinary(own)],
      [third, null],
    ] as const) {
      const response = await client.import(to.apiKey, {
        shareToken: await signer.share(from.tenant, to, 'business', from.id),
        workflowId: to.workflows.business,
      });
      const copy = toId<SessionId>(sessionOf(response).sessionId);
      const rows = await relationRows('business', copy);
      expect(rows['business_key_people']?.[0]).to.deep.include({
        kyc_session_id: null,
        source_kyc_session_id: origin,
      });
      from = { tenant: to, id: copy };
    }
  });

  it('goes with its session when that is deleted, however deep the tree of key people', async () => {
    const { db, source } = harness;
    const id = await createSession(db, source, 'business');
    const now = new Date();
    const common = {
      session_id: toBinary(id),
      status: 'Approved',
      created_at: now,
      updated_at: now,
    };
    await db('business_key_people_checks').insert({ ...common, ordinal: 0 });
    await db('business_key_people').insert(
      Array.from({ length: 40 }, (_, ordinal) => ({
        ...common,
        check_ordinal: 0,
        ordinal,
        parent_ordinal: ordinal === 0 ? null : ordinal - 1,
        party_kind: 'company',
        is_skipped: false,
      })),
    );
    await db('business_sessions')
      .where({ id: toBinary(id) })
      .delete();
    expect((await relationRows('business', id))['business_key_people']).to.deep.equal([]);
  });

  async function everythingOf(kind: SessionKind, id: SessionId) {
    return { session: await sessionRow(kind, id), relations: await relationRows(kind, id) };
  }
});

/** The rows as a copy must have them: a key person's own session becomes provenance. */
function asCopied(relations: Rows): Rows {
  return Object.fromEntries(
    Object.entries(relations).map(([table, rows]) => [
      table,
      table === 'business_key_people' ? rows.map(asProvenance) : rows,
    ]),
  );
}

function asProvenance(row: Row): Row {
  return { ...row, kyc_session_id: null, source_kyc_session_id: row['kyc_session_id'] };
}

/** Rows without the last of one table: the log entry that the import has appended. */
function withoutLast(relations: Rows, table: string): Rows {
  return { ...relations, [table]: relations[table]?.slice(0, -1) ?? [] };
}

function countsOf(kind: SessionKind, relations: Rows): Record<string, number> {
  return Object.fromEntries(
    kindSchemas[kind].relations.map(({ name, table }) => [name, relations[table]?.length ?? 0]),
  );
}
