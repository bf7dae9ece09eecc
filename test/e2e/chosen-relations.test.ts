import { expect } from 'chai';
import * as fc from 'fast-check';
import { ImportSessionResponse } from '../../src/gen/sessionimport/v1/session_import';
import { GetSessionRequest, SessionReadService } from '../../src/gen/sessionimport/v1/session_read';
import { seedDemo, type DemoData } from '../../src/demo';
import { newId, toBinary, toId, type SessionId } from '../../src/model/ids';
import { importActivity, kindSchemas } from '../../src/model/relations';
import { detailNames } from '../../src/model/scope';
import { sessionKinds, type SessionKind } from '../../src/model/session';
import { sessionOf } from '../support/client';
import { createCompany, keyPeopleOf, ledgerOf } from '../support/companies';
import { addLogs, createSession, createTenant, type Tenant } from '../support/fixtures';
import { addRows } from '../support/documents';
import { anyRelations, insertRelations } from '../support/random-session';
import { relationRows, select, sessionRow, type Row } from '../support/rows';
import { namesOf, requestFor, withParent } from '../support/scopes';
import { startHarness, type Harness } from '../support/service';

describe('a copy of chosen relations', () => {
  let harness: Harness;
  let demo: DemoData;
  before(async () => {
    harness = await startHarness();
    demo = await seedDemo(harness.db);
  });
  after(() => harness.stop());

  /** The demo's source application, and its session of a kind: with rows in every relation. */
  const fullSession = (kind: SessionKind) => {
    const { source } = demo;
    const ids = { user: source.userSessionId, business: source.businessSessionId };
    return { source, original: ids[kind] };
  };

  const importing = async (
    from: Pick<Tenant, 'applicationId'>,
    to: Tenant,
    kind: SessionKind,
    id: SessionId,
    names: readonly string[],
  ) => {
    const request = await requestFor(harness, from, to, kind, id, names);
    const answer = await harness.client.import(to.apiKey, request);
    return { answer, copy: toId<SessionId>(sessionOf(answer).sessionId) };
  };

  /** Expects that a copy has the shared relations exactly, nothing of the others, and that the answer says so. */
  const expectCopy = async (
    kind: SessionKind,
    original: SessionId,
    answer: ImportSessionResponse,
    shared: readonly string[],
  ): Promise<void> => {
    const copy = toId<SessionId>(sessionOf(answer).sessionId);
    const [from, to] = [await relationRows(kind, original), await relationRows(kind, copy)];
    const cloned: { relation: string; rows: number }[] = [];
    for (const { name, table } of kindSchemas[kind].relations) {
      const rows = (to[table] ?? []).filter(notOfImport);
      const wanted = shared.includes(name) ? (from[table] ?? []).filter(notOfImport) : [];
      expect(rows, table).to.deep.equal(wanted.map(asProvenance));
      if (shared.includes(name)) cloned.push({ relation: name, rows: wanted.length });
    }
    const entries = await select('SELECT 1 FROM ?? WHERE session_id = ? AND activity_type = ?', [
      ...[kindSchemas[kind].logs, toBinary(copy), importActivity],
    ]);
    expect(entries, 'entries about the import').to.have.length(1);
    const [own, its] = [await sessionRow(kind, original), await sessionRow(kind, copy)];
    for (const name of detailNames) {
      expect(its?.[name], name).to.equal(shared.includes(name) ? own?.[name] : null);
    }
    for (const name of ['features', 'language']) expect(its?.[name]).to.equal(own?.[name]);
    expect(answer.clonedRelations).to.deep.equal(cloned);
    expect(answer.withheldRelations).to.deep.equal(
      namesOf(kind).filter((name) => !shared.includes(name)),
    );
  };

  for (const kind of sessionKinds) {
    it(`has of a ${kind} session what is named, and nothing else: each name by itself`, async () => {
      const { db, client } = harness;
      const { source, original } = fullSession(kind);
      const before = await relationRows(kind, original);
      const each = namesOf(kind).map(async (name) => {
        const shared = withParent(kind, name);
        const target = await createTenant(db);
        const request = await requestFor(harness, source, target, kind, original, shared);
        const preview = await client.import(target.apiKey, { ...request, validateOnly: true });
        const answer = await client.import(target.apiKey, request);
        await expectCopy(kind, original, answer, shared);
        expect(preview).to.deep.equal({
          ...answer,
          session: {
            ...sessionOf(answer),
            ...{ sessionId: '', sessionNumber: 0, sessionUrl: '', createdAt: undefined },
          },
        });
      });
      await Promise.all(each);
      expect(await relationRows(kind, original)).to.deep.equal(before);
    });

    it(`has of any ${kind} session any relations that can be chosen`, async () => {
      const { db, source } = harness;
      const choice = fc.subarray([...namesOf(kind)], { minLength: 1 });
      await fc.assert(
        fc.asyncProperty(await anyRelations(kind), choice, async (relations, chosen) => {
          const shared = [...new Set(chosen.flatMap((name) => withParent(kind, name)))];
          const original = await createSession(db, source, kind);
          await insertRelations(db, kind, original, relations);
          const target = await createTenant(db);
          const { answer } = await importing(source, target, kind, original, shared);
          await expectCopy(kind, original, answer, shared);
        }),
        { numRuns: 6, endOnFailure: true },
      );
    });

    it(`of all relations of a ${kind} session withholds nothing`, async () => {
      const { source, original } = fullSession(kind);
      const target = await createTenant(harness.db);
      const { answer } = await importing(source, target, kind, original, namesOf(kind));
      await expectCopy(kind, original, answer, namesOf(kind));
    });

    it(`of a copy has no more than that ${kind} copy, whatever was added to it`, async () => {
      const { db } = harness;
      const [b, c, d] = [await createTenant(db), await createTenant(db), await createTenant(db)];
      const { source, original } = fullSession(kind);
      const [x, y, z] = ['aml_screenings', 'reviews', 'logs'];
      const first = await importing(source, b, kind, original, [x, y, 'contact_details']);
      // What the application adds to a withheld relation stays with it.
      await addRows(db, kind, 'locations', first.copy, [{ ordinal: 0 }]);
      await db(kindSchemas[kind].sessions)
        .where({ id: toBinary(first.copy) })
        .update({ expected_details: '{"added": true}' });

      // Everything that it has, by a token without a choice.
      const second = await importing(b, c, kind, first.copy, []);
      await expectCopy(kind, first.copy, second.answer, [x, y, 'contact_details']);
      // Less, and a relation that its source never had.
      const third = await importing(c, d, kind, second.copy, [y, z, 'locations']);
      await expectCopy(kind, second.copy, third.answer, [y]);
      // Nothing at all is left.
      const fourth = await importing(d, await createTenant(db), kind, third.copy, [x]);
      await expectCopy(kind, third.copy, fourth.answer, []);
      const shown = await harness.client.call(
        SessionReadService.getSession,
        d.apiKey,
        GetSessionRequest.fromPartial({ sessionId: third.copy }),
      );
      expect(shown.session?.withheldRelations).to.deep.equal(third.answer.withheldRelations);
    });

    it(`of a ${kind} session is answered again with the same bytes`, async () => {
      const { target, client } = harness;
      const { source, original } = fullSession(kind);
      const request = {
        ...(await requestFor(harness, source, target, kind, original, ['reviews'])),
        requestId: newId(),
      };
      const [first, again] = [
        await client.import(target.apiKey, request),
        await client.import(target.apiKey, request),
      ].map((answer) => Buffer.from(ImportSessionResponse.encode(answer).finish()));
      expect(again).to.deep.equal(first);
      const [entry] = await ledgerOf(target, original);
      expect(entry?.['answer']).to.deep.equal(first);
    });
  }

  it('has linked sessions with the same choice, and its key people point at them', async () => {
    const { db, source, client } = harness;
    const target = await createTenant(db);
    const own = await createSession(db, source, 'user');
    await addLogs(db, 'user', own, 2);
    await addRows(db, 'user', 'faces', own, [{ ordinal: 0 }, { ordinal: 1 }]);
    // One that is itself a copy, and has less.
    const there = await createTenant(db);
    const elsewhere = await createSession(db, there, 'user');
    await addLogs(db, 'user', elsewhere, 2);
    await addRows(db, 'user', 'faces', elsewhere, [{ ordinal: 0 }]);
    const less = await importing(there, source, 'user', elsewhere, ['logs']);
    const company = await createCompany(db, source, [own, less.copy]);
    const shared = ['key_people_checks', 'key_people', 'faces', 'contact_details'];
    const request = await requestFor(harness, source, target, 'business', company, shared, true);
    const preview = await client.import(target.apiKey, { ...request, validateOnly: true });
    const answer = await client.import(target.apiKey, request);
    expect(preview.withheldRelations).to.deep.equal(answer.withheldRelations);
    expect(preview.linkedSessions.map((each) => each.withheldRelations)).to.deep.equal(
      answer.linkedSessions.map((each) => each.withheldRelations),
    );
    const [first, second] = answer.linkedSessions;
    const told = (linked: typeof first) =>
      ImportSessionResponse.fromPartial({
        session: linked?.session,
        clonedRelations: linked?.clonedRelations ?? [],
        withheldRelations: linked?.withheldRelations ?? [],
      });
    await expectCopy('user', own, told(first), ['faces', 'contact_details']);
    await expectCopy('user', less.copy, told(second), []);
    expect(answer.withheldRelations).to.include('documents').and.not.include('key_people');
    const copy = toId<SessionId>(sessionOf(answer).sessionId);
    const [entry] = await ledgerOf(target, own);
    expect(entry).to.include({ shared_relations: 'contact_details,faces' });
    const pointers = (await keyPeopleOf(copy)).map((each) => each['kyc_session_id']);
    expect(pointers).to.deep.equal(
      [first, second].map((each) => toBinary(toId<SessionId>(each?.session?.sessionId ?? ''))),
    );

    // A company whose key people are withheld names no sessions to whoever imports it next.
    const [d, e] = [await createTenant(db), await createTenant(db)];
    const bare = await importing(source, d, 'business', company, ['key_people_checks']);
    const next = await requestFor(harness, d, e, 'business', bare.copy, [], true);
    const last = await client.import(e.apiKey, next);
    expect(last.linkedSessions).to.deep.equal([]);
    await expectCopy('business', bare.copy, last, ['key_people_checks']);
  });
});

/** Rows that are copied: all but the entries about imports. */
function notOfImport(row: Row): boolean {
  return row['activity_type'] !== importActivity;
}

/** A key person's own session becomes provenance in a copy. */
function asProvenance(row: Row): Row {
  if (!('kyc_session_id' in row)) return row;
  return { ...row, kyc_session_id: null, source_kyc_session_id: row['kyc_session_id'] };
}
