import { expect } from 'chai';
import * as fc from 'fast-check';
import { toBinary, toId, type SessionId } from '../../src/model/ids';
import {
  SessionKind as WireKind,
  SessionStatus,
} from '../../src/gen/sessionimport/v1/session_import';
import {
  GetSessionResponse,
  ListSessionRowsRequest,
  ListSessionRowsResponse,
  ListSessionsRequest,
  SessionReadService,
} from '../../src/gen/sessionimport/v1/session_read';
import { kindSchemas } from '../../src/model/relations';
import { sessionKinds, type SessionKind } from '../../src/model/session';
import { failureOf, sessionOf } from '../support/client';
import { addLogs, createSession, createTenant, type Tenant } from '../support/fixtures';
import { without } from '../support/helpers';
import { anyRelations, insertRelations } from '../support/random-session';
import { counting, countingSteps, relationRows, select, type Row } from '../support/rows';
import { startHarness, type Harness } from '../support/service';
import {
  expectedRows,
  messages,
  nested,
  rowsIn,
  snakeCase,
  typesOf,
  type FlatRows,
} from '../support/wire-rows';

const { getSession, listSessionRows, listSessions } = SessionReadService;

describe('reading back', () => {
  let harness: Harness;
  before(async () => {
    harness = await startHarness();
  });
  after(() => harness.stop());

  const get = (
    sessionId: string,
    { apiKey }: Tenant,
    relationPageSize = 500,
  ): Promise<GetSessionResponse> =>
    harness.client.call(getSession, apiKey, { sessionId, relationPageSize });

  const rowsPage = (
    { apiKey }: Tenant,
    request: Partial<ListSessionRowsRequest>,
  ): Promise<ListSessionRowsResponse> =>
    harness.client.call(listSessionRows, apiKey, ListSessionRowsRequest.fromPartial(request));

  /** All that is left of a relation, page by page. */
  const restOf = async (
    tenant: Tenant,
    request: Partial<ListSessionRowsRequest>,
  ): Promise<{ rows: Row[]; pages: number }> => {
    const rows: Row[] = [];
    let pages = 0;
    let pageToken = request.pageToken ?? '';
    do {
      const page = await rowsPage(tenant, { ...request, pageToken });
      rows.push(...(rowsIn(page)[request.relation ?? ''] ?? []));
      pageToken = page.nextPageToken;
      pages++;
    } while (pageToken !== '');
    return { rows, pages };
  };

  /** All rows of a session: those that GetSession shows, and the rest. */
  const allRows = async (id: string, tenant: Tenant): Promise<FlatRows> => {
    const shown = await get(id, tenant);
    const rows: Record<string, readonly Row[]> = { ...rowsIn(shown) };
    for (const { relation, pageToken } of shown.more) {
      const rest = await restOf(tenant, { sessionId: id, relation, pageToken });
      rows[relation] = [...(rows[relation] ?? []), ...rest.rows];
    }
    return rows;
  };

  for (const kind of sessionKinds) {
    it(`of any ${kind} session shows every row with all that the database holds`, async () => {
      const { db, source } = harness;
      await fc.assert(
        fc.asyncProperty(await anyRelations(kind), async (relations) => {
          const id = await createSession(db, source, kind);
          await insertRelations(db, kind, id, relations);
          expect((await get(id, source)).relations?.$case).to.equal(kind);
          expect(await allRows(id, source)).to.deep.equal(
            await expectedRows(await relationRows(kind, id)),
          );
        }),
        { numRuns: 5, endOnFailure: true },
      );
    });

    it(`of the copy of any ${kind} session shows what it shows of the original, less what stays behind`, async () => {
      const { db, source, signer, client } = harness;
      await fc.assert(
        fc.asyncProperty(await anyRelations(kind), async (relations) => {
          const target = await createTenant(db);
          const original = await createSession(db, source, kind);
          await insertRelations(db, kind, original, relations);
          const imported = await client.import(target.apiKey, {
            shareToken: await signer.share(source, target, kind, original),
            workflowId: target.workflows[kind],
            trustReview: true,
          });
          const copy = sessionOf(imported).sessionId;
          const crossing = async (id: string, owner: Tenant) =>
            thatCrosses(await get(id, owner), await allRows(id, owner));
          expect(await crossing(copy, target)).to.deep.equal(await crossing(original, source));
        }),
        { numRuns: 5, endOnFailure: true },
      );
    });

    it(`has a field for every column of every relation of a ${kind} session, and no other`, async () => {
      for (const { name, table } of kindSchemas[kind].relations) {
        const columns = [...(await typesOf(table)).keys()].filter((each) => each !== 'session_id');
        const message = messages[name]?.fromPartial({}) ?? {};
        const fields = Object.keys(message)
          .map(snakeCase)
          .filter((field) => !(field in nested));
        expect(fields, name).to.have.members(columns);
      }
      const shown = await get(
        await createSession(harness.db, harness.source, kind),
        harness.source,
      );
      const names = kindSchemas[kind].relations.map(({ name }) => name);
      expect(Object.keys(shown.relations?.value ?? {}).map(snakeCase)).to.deep.equal(names);
    });

    it(`of a ${kind} session shows its own row, to its own application`, async () => {
      const { db, source } = harness;
      const id = await createSession(db, source, kind, { updated_at: new Date(1e12) });
      const { session } = await get(id, source);
      const [row] = await select('SELECT * FROM ?? WHERE id = ?', [
        kindSchemas[kind].sessions,
        toBinary(id),
      ]);
      expect(row?.['metadata']).to.match(/stays behind/);
      expect(session).to.deep.include({
        updatedAt: new Date(1e12),
        workflowVersion: 7,
        features: row?.['features'],
        expectedDetails: row?.['expected_details'],
        contactDetails: row?.['contact_details'],
        language: 'pt-BR',
        metadata: row?.['metadata'],
        callback: 'https://source.example.com/callback',
      });
      expect(session?.session).to.include({
        sessionId: id,
        sessionNumber: Number(row?.['session_number']),
        sessionUrl: `https://verify.example.com/session/${String(row?.['session_token'])}`,
        sessionKind: kind === 'user' ? WireKind.SESSION_KIND_USER : WireKind.SESSION_KIND_BUSINESS,
        workflowId: source.workflows[kind],
        vendorData: 'the source application’s own name for the person',
        sharedFromSession: '',
        sharedFromApplication: '',
      });
    });
  }

  it('shows key people as the tree they are, and hits in their screening', async () => {
    const { db, source } = harness;
    const id = await createSession(db, source, 'business');
    // 0 ← 1 ← 2, 0 ← 3, and 4 by itself; in a second check, one more.
    await insertKeyPeople(harness, id, [null, 0, 1, 0, null]);
    await insertHits(harness, 'business', id, [2, 0, 1]);
    const { relations } = await get(id, source);
    if (relations?.$case !== 'business') throw new Error('the wrong kind');
    const tree = (person: { ordinal: number; owners: never[] }): unknown => [
      person.ordinal,
      person.owners.map(tree),
    ];
    expect(
      relations.value.keyPeopleChecks.map(({ keyPeople }) => keyPeople.map(tree as never)),
    ).to.deep.equal([
      [
        [
          0,
          [
            [1, [[2, []]]],
            [3, []],
          ],
        ],
        [4, []],
      ],
    ]);
    expect(
      relations.value.amlScreenings.map(({ hits }) => hits.map((hit) => hit.hitId)),
    ).to.deep.equal([['hit 0 0', 'hit 0 1'], [], ['hit 2 0']]);
    expect([relations.value.keyPeople, relations.value.amlHits]).to.deep.equal([[], []]);
  });

  it('nests key people up to fifty levels, and shows the deeper ones beside the roots', async () => {
    const { db, source } = harness;
    const id = await createSession(db, source, 'business');
    await insertKeyPeople(
      harness,
      id,
      Array.from({ length: 120 }, (_, ordinal) => (ordinal === 0 ? null : ordinal - 1)),
    );
    const shown = await get(id, source);
    if (shown.relations?.$case !== 'business') throw new Error('the wrong kind');
    const [check] = shown.relations.value.keyPeopleChecks;
    expect(check?.keyPeople.map(({ ordinal }) => ordinal)).to.deep.equal([0, 50, 100]);
    expect(check?.keyPeople.map(({ parentOrdinal }) => parentOrdinal)).to.deep.equal([
      undefined,
      49,
      99,
    ]);
    expect(rowsIn(shown)['key_people']).to.have.length(120);
  });

  it('goes on in pages where a relation is too long, and shows every row once', async () => {
    const { db, source } = harness;
    const id = await createSession(db, source, 'business');
    await addLogs(db, 'business', id, 700);
    await insertKeyPeople(
      harness,
      id,
      Array.from({ length: 130 }, (_, ordinal) => (ordinal === 0 ? null : ordinal >> 1)),
    );
    await insertHits(harness, 'business', id, [
      ...Array.from({ length: 60 }, () => 0),
      30,
      60,
      0,
      5,
    ]);
    const all = await expectedRows(await relationRows('business', id));
    for (const size of [0, 1, 7, 64, 500]) {
      const first = await get(id, source, size);
      const rows: Record<string, readonly Row[]> = { ...rowsIn(first) };
      for (const { relation, pageToken } of first.more) {
        const rest = await restOf(source, { sessionId: id, relation, pageToken, pageSize: 60 });
        rows[relation] = [...(rows[relation] ?? []), ...rest.rows];
      }
      expect(rows).to.deep.equal(all);
      expect(first.more.map(({ relation }) => relation)).to.include('logs');
    }
    const logs = await restOf(source, { sessionId: id, relation: 'logs', pageSize: 350 });
    expect(logs).to.deep.equal({ rows: all['logs'], pages: 2 });
  });

  it('keeps its messages small where rows are large, and never stops at one that is too large', async () => {
    const { db, source } = harness;
    // A control character has six bytes in a text of JSON, and one where MySQL stores it.
    for (const letter of ['x', '\u0001']) {
      const written = JSON.stringify(letter).slice(1, -1);
      const id = await createSession(db, source, 'user');
      await addLogs(db, 'user', id, 40);
      const sized = (bytes: number): string =>
        JSON.stringify({ text: letter.repeat(bytes / written.length) });
      const logs = db('user_logs').where({ session_id: toBinary(id) });
      await logs.clone().update({ additional_data: sized(150_000) });
      await logs
        .clone()
        .where({ ordinal: 20 })
        .update({ additional_data: sized(3_000_000) });
      const shown = await get(id, source);
      expect(GetSessionResponse.encode(shown).finish().length).to.be.lessThan(200_000);
      const [more] = shown.more;
      expect(more?.relation).to.equal('logs');

      const ordinals: unknown[] = [];
      let pageToken = more?.pageToken ?? '';
      do {
        const page = await rowsPage(source, { sessionId: id, relation: 'logs', pageToken });
        const rows = rowsIn(page)['logs'] ?? [];
        const size = ListSessionRowsResponse.encode(page).finish().length;
        expect(size <= 2_200_000 || rows.length === 1).to.equal(true);
        ordinals.push(...rows.map(({ ordinal }) => ordinal));
        pageToken = page.nextPageToken;
      } while (pageToken !== '');
      expect(ordinals).to.deep.equal(Array.from({ length: 40 }, (_, ordinal) => ordinal));
    }
  });

  it('takes no more from the database than it shows, however much there is', async () => {
    const { db, source } = harness;
    const id = await createSession(db, source, 'user');
    await addLogs(db, 'user', id, 60);
    const additional_data = JSON.stringify({ text: 'x'.repeat(1_000_000) });
    await db('user_logs')
      .where({ session_id: toBinary(id) })
      .update({ additional_data });
    const calls: { readonly call: () => Promise<unknown>; readonly shown: number }[] = [
      { call: () => get(id, source), shown: 0 },
      { call: () => rowsPage(source, { sessionId: id, relation: 'logs' }), shown: 2_000_000 },
    ];
    for (const { call, shown } of calls) {
      const most = shown + 100_000;
      const { grown: sent } = await counting(['Bytes_sent'], most, call);
      expect(sent).to.be.within(shown, most);
    }
  });

  it('looks at no more large values than it shows, however many rows a page may have', async () => {
    const { db, source } = harness;
    const large = JSON.stringify({ text: 'x'.repeat(400_000) });
    // The large ones begin with the first row, or behind some that are small.
    for (const small of [0, 20]) {
      const id = await createSession(db, source, 'user');
      await addLogs(db, 'user', id, 60);
      await db('user_logs')
        .where({ session_id: toBinary(id) })
        .where('ordinal', '>=', small)
        .update({ additional_data: large });
      const request = { sessionId: id, relation: 'logs', pageSize: 1_000 };
      // Pages of InnoDB, of 16 KiB: some 10 of the 16 to 24 megabytes that there are.
      const most = 640;
      const calls: (() => Promise<unknown>)[] = [
        () => get(id, source),
        () => rowsPage(source, request),
      ];
      for (const call of calls) {
        const { grown: pages } = await counting(['Innodb_buffer_pool_read_requests'], most, call);
        expect(pages).to.be.below(most);
      }
      const ordinals: unknown[] = [];
      let pageToken = '';
      do {
        const page = await rowsPage(source, { ...request, pageToken });
        ordinals.push(...(rowsIn(page)['logs'] ?? []).map(({ ordinal }) => ordinal));
        pageToken = page.nextPageToken;
      } while (pageToken !== '');
      expect(ordinals).to.deep.equal(Array.from({ length: 60 }, (_, ordinal) => ordinal));
    }
  });

  it('reads no page of rows again for those behind it', async () => {
    const { db, source } = harness;
    const id = await createSession(db, source, 'user');
    await insertHits(harness, 'user', id, [1_500, 500]);
    const costs: number[] = [];
    let pageToken = '';
    do {
      const request = { sessionId: id, relation: 'aml_hits', pageSize: 100, pageToken };
      const page = await countingSteps(300, () => rowsPage(source, request));
      costs.push(page.rows);
      pageToken = page.result.nextPageToken;
    } while (pageToken !== '');
    expect(costs).to.have.length(20);
    expect(Math.max(...costs)).to.be.below(300);
  });

  it('is of one moment: a writer that changes everything is never seen half-way', async () => {
    const { db, source } = harness;
    const id = await createSession(db, source, 'user', { language: '0' });
    await addLogs(db, 'user', id, 20);
    await db('user_reviews').insert({
      session_id: toBinary(id),
      ordinal: 0,
      status: 'Approved',
      actor: '0',
      created_at: new Date(),
      updated_at: new Date(),
    });
    await db('user_logs')
      .where({ session_id: toBinary(id) })
      .update({ risk: '0' });
    const stop = new AbortController();
    const writer = (async () => {
      for (let version = 1; !stop.signal.aborted; version++) {
        const value = String(version);
        await db.transaction(async (trx) => {
          await trx('user_sessions')
            .where({ id: toBinary(id) })
            .update({ language: value });
          await trx('user_logs')
            .where({ session_id: toBinary(id) })
            .update({ risk: value });
          await trx('user_reviews')
            .where({ session_id: toBinary(id) })
            .update({ actor: value });
        });
      }
    })();
    const versions = new Set<string | undefined>();
    for (let round = 0; round < 40; round++) {
      const shown = await get(id, source);
      if (shown.relations?.$case !== 'user') throw new Error('the wrong kind');
      const { logs, reviews } = shown.relations.value;
      const seen = new Set([
        shown.session?.language,
        ...logs.map(({ risk }) => risk),
        ...reviews.map(({ actor }) => actor),
      ]);
      expect([...seen]).to.have.length(1);
      for (const version of seen) versions.add(version);
    }
    stop.abort();
    await writer;
    expect(versions.size).to.be.greaterThan(2);
  });

  it('says what is wrong with a request', async () => {
    const { db, source, target, client } = harness;
    const id = await createSession(db, source, 'user');
    const other = await createSession(db, source, 'user');
    await addLogs(db, 'user', id, 3);
    const { nextPageToken } = await rowsPage(source, {
      sessionId: id,
      relation: 'logs',
      pageSize: 1,
    });
    const wrongOf = async (call: Promise<unknown>): Promise<readonly string[] | undefined> => {
      const failure = await failureOf(call);
      expect(failure).to.include({ code: 'INVALID_ARGUMENT', reason: 'INVALID_REQUEST' });
      return failure.badRequest?.fieldViolations.map(({ field }) => field);
    };
    const row = (request: Partial<ListSessionRowsRequest>, tenant = source) =>
      wrongOf(rowsPage(tenant, { sessionId: id, relation: 'logs', ...request }));
    expect(await row({ sessionId: 'x', relation: '' })).to.deep.equal(['session_id', 'relation']);
    expect(await row({ relation: 'user_logs' })).to.deep.equal(['relation']);
    expect(await row({ relation: 'registry_checks' })).to.deep.equal(['relation']);
    expect(await row({ pageSize: -1 })).to.deep.equal(['page_size']);
    expect(await row({ pageToken: 'x' })).to.deep.equal(['page_token']);
    const pageToken = nextPageToken;
    expect(await row({ pageToken, sessionId: other })).to.deep.equal(['page_token']);
    expect(await row({ pageToken, relation: 'reviews' })).to.deep.equal(['page_token']);
    expect(await row({ pageToken }, target)).to.deep.equal(['page_token']);
    const list = (request: Partial<ListSessionsRequest>) =>
      wrongOf(client.call(listSessions, source.apiKey, ListSessionsRequest.fromPartial(request)));
    expect(await list({ pageToken })).to.deep.equal(['page_token']);
    expect(
      await list({
        vendorData: '',
        sharedFromSession: 'x',
        sharedFromApplication: '',
        createdSince: new Date(8.64e15),
      }),
    ).to.deep.equal([
      'vendor_data',
      'shared_from_session',
      'shared_from_application',
      'created_since',
    ]);
    expect(await list({ createdSince: new Date(2), createdUntil: new Date(1) })).to.deep.equal([
      'created_until',
    ]);
    expect(
      await list({ statuses: [SessionStatus.SESSION_STATUS_APPROVED, SessionStatus.UNRECOGNIZED] }),
    ).to.deep.equal(['statuses[1]']);
    expect(
      await list({ statuses: Array.from({ length: 101 }, () => SessionStatus.UNRECOGNIZED) }),
    ).to.deep.equal(['statuses']);
    expect(await wrongOf(get(id, source, -1))).to.deep.equal(['relation_page_size']);
  });
});

/** What of a session must be the same in its copy. */
function thatCrosses({ session: details }: GetSessionResponse, all: FlatRows): unknown {
  const rows = Object.entries(all).map(([relation, list]) => [
    relation,
    list
      .filter((row) => row['activity_type'] !== 'session_imported')
      .map((row) => without(without(row, 'kyc_session_id'), 'source_kyc_session_id')),
  ]);
  const { features, expectedDetails, contactDetails, language, session } = details ?? {};
  const check = { features, expectedDetails, contactDetails, language };
  return { rows, check, kind: session?.sessionKind, status: session?.status };
}

const common = () => ({ status: 'Approved', created_at: new Date(), updated_at: new Date() });

/** Adds a check with key people, each given by the ordinal of its parent. */
async function insertKeyPeople(
  { db }: Harness,
  id: SessionId,
  parents: readonly (number | null)[],
): Promise<void> {
  const session_id = toBinary(toId(id));
  await db('business_key_people_checks').insert({ session_id, ordinal: 0, ...common() });
  await db('business_key_people').insert(
    parents.map((parent_ordinal, ordinal) => ({
      session_id,
      check_ordinal: 0,
      ordinal,
      parent_ordinal,
      party_kind: 'person',
      is_skipped: false,
      ...common(),
    })),
  );
}

/** Adds a screening for each number, with so many hits. */
async function insertHits(
  { db }: Harness,
  kind: SessionKind,
  id: SessionId,
  counts: readonly number[],
): Promise<void> {
  const session_id = toBinary(toId(id));
  await db(`${kind}_aml_screenings`).insert(
    counts.map((total_hits, ordinal) => ({
      session_id,
      ordinal,
      entity_type: 'company',
      total_hits,
      is_ongoing_monitoring_enabled: false,
      ...common(),
    })),
  );
  const hits = counts.flatMap((count, screening_ordinal) =>
    Array.from({ length: count }, (_, ordinal) => ({
      session_id,
      screening_ordinal,
      ordinal,
      hit_id: `hit ${screening_ordinal} ${ordinal}`,
      review_status: 'Unreviewed',
      ...common(),
    })),
  );
  await db(`${kind}_aml_hits`).insert(hits);
}
