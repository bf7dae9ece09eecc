import { expect } from 'chai';
import { newId, toBinary, type SessionId } from '../../src/model/ids';
import { must } from '../../src/model/must';
import {
  ConnectionState,
  type ListConnectionsRequest,
} from '../../src/gen/sessionimport/v1/session_connection';
import { SessionImportService, SessionKind } from '../../src/gen/sessionimport/v1/session_import';
import {
  GetSessionRequest,
  ListSessionRowsRequest,
  ListSessionsRequest,
  SessionReadService,
} from '../../src/gen/sessionimport/v1/session_read';
import {
  ListReceivedShareTokensRequest,
  ListShareTokensRequest,
  RevokeShareTokenRequest,
  SessionShareService,
  ShareSessionRequest,
} from '../../src/gen/sessionimport/v1/session_share';
import {
  ImportDirection,
  ImportOutcome,
  ListImportsRequest,
  SessionTraceService,
} from '../../src/gen/sessionimport/v1/session_trace';
import { kindSchemas } from '../../src/model/relations';
import {
  erasuresOf,
  markPruned,
  takeErasure,
  waitingErasures,
  waitingErasuresCount,
} from '../../src/store/erasures';
import { forgetAnswers, forgetAnswersOf, keptAnswers } from '../../src/store/ledger/entries';
import { withinLimits } from '../../src/store/connections/proposal-limits';
import { countOldRefusals, deleteOldRefusals, oldestRefusal } from '../../src/store/refusals';
import { countAllRows, deleteRows, filledRelations } from '../../src/store/relations/delete';
import { sessionsWithKeyPeople, unlinkKeyPeople } from '../../src/store/relations/key-people';
import {
  deleteRetention,
  dueSessions,
  dueSessionsCount,
  retainedSessions,
} from '../../src/store/retention';
import {
  deleteSession,
  lockForErasure,
  sessionsByNumber,
  sessionsOfAnyone,
} from '../../src/store/sessions/erase';
import {
  countOldShareTokens,
  deleteOldShareTokens,
  oldestShareToken,
} from '../../src/store/share-tokens';
import { deleteUnusedVendorEntity } from '../../src/store/vendor-entities';
import { failureOf, sessionOf } from '../support/client';
import { Connections, termsWith, wireSides } from '../support/connection-calls';
import { createCompany, requestWithLinked } from '../support/companies';
import { erase, retain } from '../support/erasure';
import {
  addLogs,
  addShareTokens,
  createSession,
  createSessions,
  createTenant,
} from '../support/fixtures';
import { select } from '../support/rows';
import { startProxiedHarness, type ProxiedHarness } from '../support/service';

/** About how many rows a filled table has. A scan of a much smaller table is no fault: MySQL may choose it. */
const filled = 400;

interface Step {
  readonly table: string | null;
  readonly type: string | null;
  readonly rows: number | null;
}

describe('a database with many rows', () => {
  let harness: ProxiedHarness;

  before(async function () {
    this.timeout(120_000);
    harness = await startProxiedHarness();
    const { db, source, target } = harness;
    for (const kind of ['user', 'business'] as const) {
      const originals = await createSessions(db, source, kind, filled * 2);
      for (const id of originals.slice(0, filled)) await addLogs(db, kind, id, 1);
      await db('session_imports').insert(originals.map((id) => entryOf(id, kind)));
    }
    const shared = await createSession(db, source, 'user');
    await addShareTokens(db, source, target, shared, filled);
    // Most are for others: MySQL may read all of an index if it wants most of it.
    await addShareTokens(db, source, await createTenant(db), shared, filled * 4);
    await db('session_connections').insert(Array.from({ length: filled * 4 }, connectionWith));
    await Promise.all(Array.from({ length: filled / 2 }, () => createTenant(db)));
    const [at, kind] = [new Date(), 'user'] as const;
    const erased = Array.from({ length: filled }, () => toBinary(newId()));
    await db('session_erasures').insert(
      erased.map((id) => ({
        session_id: id,
        application_id: toBinary(source.applicationId),
        session_kind: kind,
        erased_at: at,
        cause: 'request',
        pruned_at: at,
      })),
    );
    await db('session_retention').insert(
      erased.map((id) => ({ session_id: id, session_kind: kind, erase_after: at, set_at: at })),
    );
    const tables = await select(
      `SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()`,
    );
    await select(`ANALYZE TABLE ${tables.map(({ name }) => `\`${String(name)}\``).join()}`);
  });
  after(() => harness.stop());

  const entryOf = (id: SessionId, kind: 'user' | 'business') => ({
    application_id: toBinary(harness.target.applicationId),
    source_session_id: toBinary(id),
    source_application_id: toBinary(harness.source.applicationId),
    session_kind: kind,
    source_status: 'Approved',
    session_id: toBinary(newId()),
    trust_review: false,
    api_key_id: toBinary(newId()),
    created_at: new Date(),
  });

  /** An ended connection of the source application and another one, or of the target, or of others. */
  const connectionWith = (_: unknown, index: number) => ({
    id: toBinary(newId()),
    source_application_id: toBinary(index % 4 === 0 ? harness.source.applicationId : newId()),
    recipient_application_id: toBinary(index % 4 === 1 ? harness.target.applicationId : newId()),
    user_sessions: true,
    business_sessions: false,
    linked_sessions: false,
    trust_review: false,
    grounds_required: false,
    proposed_by: 'source',
    created_at: new Date(),
    ended_at: new Date(),
  });

  /** Makes every kind of call about connections. */
  async function callAboutConnections(): Promise<void> {
    const { source, target } = harness;
    const connections = new Connections(harness.client);
    const propose = (agreement: string) =>
      connections.propose(source, 'source', target, termsWith({ agreement }));
    await propose('a');
    const first = await propose('b');
    await propose('b');
    await connections.accept(target, first.connectionId);
    const second = await propose('c');
    await connections.accept(target, second.connectionId);
    await connections.propose(target, 'recipient', source);
    const lists: readonly Partial<ListConnectionsRequest>[] = [
      {},
      { state: ConnectionState.CONNECTION_STATE_PROPOSED },
      { state: ConnectionState.CONNECTION_STATE_ACTIVE },
      { state: ConnectionState.CONNECTION_STATE_ENDED },
      { ownSide: wireSides.source },
      { otherApplicationId: target.applicationId },
    ];
    for (const filter of lists) {
      const wanted = { pageSize: 1, ...filter };
      const { nextPageToken: pageToken } = await connections.list(source, wanted);
      if (pageToken) await connections.list(source, { ...wanted, pageToken });
    }
    await connections.get(source, second.connectionId);
    await connections.end(source, second.connectionId);
  }

  /** Makes every kind of call, with every filter. */
  async function callEverything(): Promise<void> {
    const { db, source, target, signer, client } = harness;
    const call = client.call.bind(client);
    const user = await createSession(db, source, 'user');
    await addLogs(db, 'user', user, 20);
    const { shareToken, details } = await call(
      SessionShareService.shareSession,
      source.apiKey,
      ShareSessionRequest.fromPartial({ sessionId: user, forApplicationId: target.applicationId }),
    );
    const request = {
      shareToken,
      workflowId: target.workflows.user,
      vendorData: 'somebody',
      requestId: newId(),
    };
    await client.import(target.apiKey, { ...request, validateOnly: true });
    const copy = sessionOf(await client.import(target.apiKey, request));
    await client.import(target.apiKey, request);
    await failureOf(client.import(target.apiKey, { ...request, requestId: undefined }));
    const people = await createSessions(db, source, 'user', 2);
    const company = await requestWithLinked(harness, await createCompany(db, source, people));
    await client.import(target.apiKey, company);
    await failureOf(
      client.import(target.apiKey, {
        shareToken: await signer.share(source, target, 'user', newId<SessionId>()),
        workflowId: target.workflows.user,
      }),
    );

    const since = new Date(0);
    const until = new Date();
    const sessions = [
      {},
      { statuses: [1, 2] },
      { vendorData: 'somebody' },
      { sharedFromSession: user },
      { sharedFromApplication: source.applicationId },
      { createdSince: since, createdUntil: until },
    ];
    for (const sessionKind of [SessionKind.SESSION_KIND_USER, SessionKind.SESSION_KIND_BUSINESS]) {
      for (const filter of sessions) {
        const wanted = ListSessionsRequest.fromPartial({ sessionKind, pageSize: 2, ...filter });
        const { nextPageToken } = await call(
          SessionReadService.listSessions,
          source.apiKey,
          wanted,
        );
        if (nextPageToken) {
          await call(SessionReadService.listSessions, source.apiKey, {
            ...wanted,
            pageToken: nextPageToken,
          });
        }
      }
    }
    await call(
      SessionReadService.getSession,
      target.apiKey,
      GetSessionRequest.fromPartial({ sessionId: copy.sessionId }),
    );
    await call(
      SessionReadService.listSessionRows,
      source.apiKey,
      ListSessionRowsRequest.fromPartial({ sessionId: user, relation: 'logs', pageSize: 2 }),
    );
    const imports = [
      {},
      { sessionKind: SessionKind.SESSION_KIND_USER },
      { otherApplicationId: target.applicationId },
      { since, until },
    ];
    for (const list of [
      { direction: ImportDirection.IMPORT_DIRECTION_INCOMING },
      {
        direction: ImportDirection.IMPORT_DIRECTION_INCOMING,
        outcome: ImportOutcome.IMPORT_OUTCOME_REFUSED,
      },
      { direction: ImportDirection.IMPORT_DIRECTION_OUTGOING },
    ]) {
      for (const filter of imports) {
        const wanted = ListImportsRequest.fromPartial({ ...list, pageSize: 2, ...filter });
        await call(SessionTraceService.listImports, target.apiKey, wanted);
        await call(SessionTraceService.listImports, source.apiKey, wanted);
      }
    }
    await call(SessionTraceService.getProvenance, target.apiKey, { sessionId: copy.sessionId });
    await call(SessionImportService.listWorkflows, target.apiKey, {
      sessionKind: SessionKind.SESSION_KIND_USER,
      pageSize: 2,
      pageToken: '',
    });
    await call(
      SessionShareService.listShareTokens,
      source.apiKey,
      ListShareTokensRequest.fromPartial({ sessionId: user, pageSize: 2 }),
    );
    for (const filter of [
      {},
      { includeExpired: true },
      { sharedFromApplication: source.applicationId },
      { sessionKind: SessionKind.SESSION_KIND_USER },
    ]) {
      const wanted = ListReceivedShareTokensRequest.fromPartial({ pageSize: 2, ...filter });
      const { nextPageToken } = await call(
        SessionShareService.listReceivedShareTokens,
        target.apiKey,
        wanted,
      );
      await call(SessionShareService.listReceivedShareTokens, target.apiKey, {
        ...wanted,
        pageToken: nextPageToken,
      });
    }
    for (const target of [
      { $case: 'shareTokenId', value: must(details, 'what was recorded').shareTokenId },
      { $case: 'sessionId', value: user },
    ] as const) {
      await call(
        SessionShareService.revokeShareToken,
        source.apiKey,
        RevokeShareTokenRequest.fromPartial({ target }),
      );
    }
    const eraseAfter = new Date(Date.now() + 1_000_000);
    for (const id of [user, people[0] ?? user]) {
      await retain(harness, source, id, { eraseAfter, hold: undefined });
      await erase(harness, source, id);
      await erase(harness, source, id);
    }
  }

  it('is never scanned, by no statement of any call', async () => {
    const statements = new Set<string>();
    harness.proxy.intercept = ({ sql }) => {
      for (const one of sql.split(';\n')) {
        if (/^\s*(SELECT|INSERT|UPDATE)\b/i.test(one)) statements.add(one);
      }
    };
    await callEverything();
    await callAboutConnections();
    harness.proxy.intercept = undefined;
    expect(statements.size).to.be.greaterThan(100);
    expect(await scansOf(statements)).to.deep.equal([]);
  });

  it('is read only as far as the limit, to count the recent proposals to an application', async () => {
    const { db, source, target } = harness;
    const [sourceId, targetId] = [source, target].map((each) => toBinary(each.applicationId));
    const withPair = (_: unknown, index: number) => ({
      ...connectionWith(_, index),
      ...{ source_application_id: sourceId, recipient_application_id: targetId },
    });
    await db('session_connections').insert(Array.from({ length: filled }, withPair));
    const { sql, bindings } = withinLimits({
      ...{ sourceApplicationId: source.applicationId, party: 'source', at: new Date() },
      recipientApplicationId: target.applicationId,
    });
    const counting = db.raw(`SELECT ${sql}`, bindings as never).toQuery();
    const steps = await select(`EXPLAIN FORMAT=TRADITIONAL ${counting}`, []);
    const [step] = steps.filter(({ key }) => key === 'session_connections_open_unique');
    expect(step?.['Extra']).to.include('Backward index scan').and.include('Using index');
    const extras = steps.map(({ Extra }) => String(Extra)).join();
    expect(extras).not.to.include('filesort').and.not.to.include('temporary');
  });

  it('is read by the imports of a session, and not by all of its tokens, to count the redeemed ones', async () => {
    const { client, db, source, target, proxy } = harness;
    const sessionId = await createSession(db, source, 'user');
    await addShareTokens(db, source, target, sessionId, filled);
    let counting = '';
    proxy.intercept = ({ sql }) => {
      if (sql.includes('AS redeemed FROM')) counting = sql;
    };
    await client.call(
      SessionShareService.revokeShareToken,
      source.apiKey,
      RevokeShareTokenRequest.fromPartial({ target: { $case: 'sessionId', value: sessionId } }),
    );
    proxy.intercept = undefined;
    const steps = await select(`EXPLAIN FORMAT=TRADITIONAL ${counting}`, []);
    expect(steps.map(({ table, type, key }) => [table, type, key])).to.deep.equal([
      ['i', 'ref', 'session_imports_source_session_id_index'],
      ['t', 'eq_ref', 'PRIMARY'],
    ]);
  });

  it('is never scanned by the job that prunes either, except for the ids of applications', async () => {
    const { db, source } = harness;
    const applicationId = source.applicationId;
    const sessionId = newId<SessionId>();
    const at = new Date();
    const long = new Date('2020-01-01T00:00:00Z');
    const moment = '2020-01-01T00:00:00.000000';
    const { user, business } = kindSchemas;
    const statements = [
      waitingErasures({ size: 10, after: undefined }),
      waitingErasures({ size: 10, after: [moment, sessionId] }),
      waitingErasuresCount(),
      waitingErasuresCount(10),
      dueSessionsCount(at, 10),
      oldestRefusal(),
      oldestShareToken(),
      takeErasure(sessionId),
      dueSessions(long, { size: 10, after: undefined }),
      dueSessions(long, { size: 10, after: [moment, sessionId] }),
      retainedSessions({ size: 10, after: undefined }),
      retainedSessions({ size: 10, after: [sessionId] }),
      sessionsOfAnyone([sessionId, newId()]),
      erasuresOf([sessionId, newId()]),
      lockForErasure(user, sessionId),
      filledRelations(user, sessionId),
      countAllRows(business, sessionId),
      ...user.relations.map((relation) => deleteRows(relation, sessionId, 10)),
      deleteSession(user, sessionId),
      deleteRetention(sessionId),
      ...forgetAnswers(sessionId),
      deleteUnusedVendorEntity(user, newId()),
      markPruned(sessionId, at),
      sessionsByNumber(business, applicationId, 0, 10),
      sessionsWithKeyPeople([sessionId], [newId()]),
      unlinkKeyPeople(sessionId, [newId()]),
      keptAnswers(applicationId, { size: 10, after: undefined }),
      keptAnswers(applicationId, { size: 10, after: [newId()] }),
      forgetAnswersOf([{ applicationId, sourceSessionId: sessionId }]),
      countOldRefusals(long),
      deleteOldRefusals(long, 10),
      countOldShareTokens(long),
      deleteOldShareTokens(long, 10),
    ].map(({ sql, bindings }) => db.raw(sql, bindings as never).toQuery());
    expect(await scansOf(statements)).to.deep.equal([]);
  });

  /** The tables that statements scan, though they are filled. */
  async function scansOf(statements: Iterable<string>): Promise<string[]> {
    const scans: string[] = [];
    for (const sql of statements) {
      const steps = (await select(`EXPLAIN FORMAT=TRADITIONAL ${sql}`, [])) as unknown as Step[];
      const scanned = steps.filter(
        ({ table, type, rows }) =>
          (type === 'ALL' || type === 'index') &&
          table !== null &&
          !table.startsWith('<') &&
          (rows ?? 0) >= filled / 4,
      );
      for (const { table, type } of scanned) scans.push(`${table} (${type}): ${sql.slice(0, 300)}`);
    }
    return scans;
  }
});
