import { expect } from 'chai';
import { openMultiDatabase } from '../../src/db/connection';
import { ConnectionParty } from '../../src/gen/sessionimport/v1/session_connection';
import {
  ListEventsRequest,
  SessionEventsService,
  SessionEventType,
  type SessionEvent,
} from '../../src/gen/sessionimport/v1/session_events';
import { SessionKind as WireKind } from '../../src/gen/sessionimport/v1/session_import';
import {
  RevokeShareTokenRequest,
  SessionShareService,
  ShareSessionRequest,
  WithdrawalOutcome,
} from '../../src/gen/sessionimport/v1/session_share';
import { newId, toBinary, toId, type ConnectionId, type SessionId } from '../../src/model/ids';
import { must } from '../../src/model/must';
import { sessionKinds, type SessionKind } from '../../src/model/session';
import { connectApplications } from '../../src/store/connections/connect';
import { wireKinds } from '../../src/rpc/wire';
import { failureOf, sessionOf } from '../support/client';
import { createCompany, requestWithLinked } from '../support/companies';
import { Connections, termsWith } from '../support/connection-calls';
import { everything } from '../support/connections';
import { erase } from '../support/erasure';
import { eventsOf, listEvents, quickEvents, typesOf } from '../support/events';
import { without } from '../support/helpers';
import { createSession, createTenant, type Tenant } from '../support/fixtures';
import { serviceUrl } from '../support/mysql';
import { startHarness, type Harness } from '../support/service';
import { acknowledge, withdraw } from '../support/withdrawals';

const { shareSession, revokeShareToken } = SessionShareService;
const day = 86_400_000;
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

describe('the events of an application', () => {
  let harness: Harness;
  let source: Tenant;
  let target: Tenant;
  const told = new Set<SessionEventType>();
  before(async () => {
    harness = await startHarness({ environment: quickEvents });
  });
  beforeEach(async () => {
    source = await createTenant(harness.db);
    target = await createTenant(harness.db);
  });
  after(() => harness.stop());

  /** The first events of a feed, without what differs each time. */
  const feedOf = async (tenant: Tenant, count: number): Promise<Partial<SessionEvent>[]> => {
    const events = await eventsOf(harness, tenant, count);
    expect(events.map(({ sequence }) => sequence)).to.deep.equal(events.map((_, at) => at + 1));
    expect(new Set(events.map(({ eventId }) => eventId)).size).to.equal(events.length);
    return events.map((event) => {
      expect(event.eventId).to.match(uuid);
      expect(Math.abs(Number(event.createdAt) - Date.now())).to.be.below(day);
      told.add(event.type);
      return ['eventId', 'sequence', 'createdAt'].reduce<Partial<SessionEvent>>(without, event);
    });
  };

  /** Has share tokens expire, in no order. */
  const expire = async (...ids: readonly string[]): Promise<void> => expireBefore(100_000, ...ids);

  /** Has share tokens expire some milliseconds ago. */
  const expireBefore = async (ago: number, ...ids: readonly string[]): Promise<void> => {
    await harness
      .db('share_tokens')
      .whereIn(
        'id',
        ids.map((id) => toBinary(toId(id))),
      )
      .update({ expires_at: new Date(Date.now() - ago) });
  };

  const share = async (session: SessionId) => {
    const { details, shareToken } = await harness.client.call(
      shareSession,
      source.apiKey,
      ShareSessionRequest.fromPartial({
        sessionId: session,
        forApplicationId: target.applicationId,
      }),
    );
    return { shareToken, id: must(details, 'the details of a token').shareTokenId };
  };

  const importWith = async (shareToken: string, kind: SessionKind = 'user') =>
    sessionOf(
      await harness.client.import(target.apiKey, {
        shareToken,
        workflowId: target.workflows[kind],
      }),
    );

  /** What is absent in most events. */
  const nothing = {
    sessionId: undefined,
    sharedFromSession: undefined,
    shareTokenId: undefined,
    reason: undefined,
    connectionId: undefined,
  };
  const asSource = () => ({
    ...nothing,
    ownSide: ConnectionParty.CONNECTION_PARTY_SOURCE,
    otherApplicationId: target.applicationId,
  });
  const asRecipient = () => ({
    ...nothing,
    ownSide: ConnectionParty.CONNECTION_PARTY_RECIPIENT,
    otherApplicationId: source.applicationId,
  });

  for (const kind of sessionKinds) {
    it(`tell both of a share token and of the import of a ${kind} session`, async () => {
      const original = await createSession(harness.db, source, kind);
      const { shareToken, id } = await share(original);
      const copy = await importWith(shareToken, kind);
      const facts = { sessionKind: wireKinds[kind], shareTokenId: id };
      const types = [
        SessionEventType.SESSION_EVENT_TYPE_SHARE_TOKEN_CREATED,
        SessionEventType.SESSION_EVENT_TYPE_SESSION_IMPORTED,
      ];
      expect(await feedOf(source, 2)).to.deep.equal(
        types.map((type) => ({ ...asSource(), ...facts, type, sessionId: original })),
      );
      // Before the token is handed over, nobody learns which session it is for.
      expect(await feedOf(target, 2)).to.deep.equal([
        { ...asRecipient(), ...facts, type: types[0] },
        {
          ...{ ...asRecipient(), ...facts, type: types[1] },
          ...{ sharedFromSession: original, sessionId: copy.sessionId },
        },
      ]);
    });
  }

  it('are the same two events for both: they have the same ids', async () => {
    const { shareToken } = await share(await createSession(harness.db, source, 'user'));
    await importWith(shareToken);
    const ids = async (tenant: Tenant) =>
      (await eventsOf(harness, tenant, 2)).map(({ eventId }) => eventId);
    expect(await ids(source)).to.deep.equal(await ids(target));
  });

  it('tell of each session that came along, but not of one that was imported before', async () => {
    const people = [
      await createSession(harness.db, source, 'user'),
      await createSession(harness.db, source, 'user'),
    ];
    await importWith(
      await harness.signer.share(source, target, 'user', must(people[0], 'a session')),
    );
    const company = await createCompany(harness.db, source, people);
    await harness.client.import(
      target.apiKey,
      await requestWithLinked({ ...harness, source, target }, company),
    );
    const sessions = (events: readonly SessionEvent[]) =>
      events.map(({ sharedFromSession, sessionId }) => sharedFromSession ?? sessionId);
    const wanted = [people[0], company, people[1]];
    expect(sessions(await eventsOf(harness, target, 3))).to.have.ordered.members(wanted);
    expect(sessions(await eventsOf(harness, source, 3))).to.have.ordered.members(wanted);
  });

  it('tell only the application that tried of an import that was refused, and nobody of a preview', async () => {
    const original = await createSession(harness.db, source, 'user');
    const { shareToken, id } = await share(original);
    const wrong = { shareToken, workflowId: newId() };
    await failureOf(harness.client.import(target.apiKey, { ...wrong, validateOnly: true }));
    await failureOf(harness.client.import(target.apiKey, wrong));
    await failureOf(harness.client.import(target.apiKey, { ...wrong, shareToken: 'forged' }));
    await importWith(shareToken);
    const type = SessionEventType.SESSION_EVENT_TYPE_IMPORT_REFUSED;
    const [, refused, forged] = await feedOf(target, 4);
    expect([refused, forged]).to.deep.equal([
      {
        ...asRecipient(),
        type,
        sessionKind: WireKind.SESSION_KIND_USER,
        sharedFromSession: original,
        shareTokenId: id,
        reason: 'WORKFLOW_NOT_FOUND',
      },
      {
        ...asRecipient(),
        type,
        sessionKind: WireKind.SESSION_KIND_UNSPECIFIED,
        otherApplicationId: undefined,
        reason: 'SHARE_TOKEN_INVALID',
      },
    ]);
    expect(typesOf(await eventsOf(harness, source, 2))).to.deep.equal([
      'SHARE_TOKEN_CREATED',
      'SESSION_IMPORTED',
    ]);
  });

  it('tell both of each share token that is revoked, once, and not of one that has expired before', async () => {
    const original = await createSession(harness.db, source, 'user');
    const tokens = [await share(original), await share(original), await share(original)];
    await expire(must(tokens[0], 'a token').id);
    await eventsOf(harness, source, 4);
    for (let times = 0; times < 2; times++) {
      const target = { $case: 'sessionId', value: original } as const;
      const request = RevokeShareTokenRequest.fromPartial({ target });
      await harness.client.call(revokeShareToken, source.apiKey, request);
    }
    for (const [tenant, side] of [
      [source, { ...asSource(), sessionId: original }],
      [target, asRecipient()],
    ] as const) {
      const events = await feedOf(tenant, 6);
      expect(events).to.have.length(6);
      expect(events.slice(4)).to.have.deep.members(
        tokens.slice(1).map(({ id }) => ({
          ...side,
          type: SessionEventType.SESSION_EVENT_TYPE_SHARE_TOKEN_REVOKED,
          sessionKind: WireKind.SESSION_KIND_USER,
          shareTokenId: id,
        })),
      );
    }
  });

  it('tell both once of a share token that has expired, unless it was redeemed or revoked', async () => {
    const [unused, used, revoked] = [
      await createSession(harness.db, source, 'user'),
      await createSession(harness.db, source, 'user'),
      await createSession(harness.db, source, 'user'),
    ];
    const expiring = await share(unused);
    const redeemed = await share(used);
    await importWith(redeemed.shareToken);
    const takenBack = await share(revoked);
    await harness.client.call(
      revokeShareToken,
      source.apiKey,
      RevokeShareTokenRequest.fromPartial({
        target: { $case: 'shareTokenId', value: takenBack.id },
      }),
    );
    await eventsOf(harness, source, 5);
    await expire(expiring.id, redeemed.id, takenBack.id);
    await eventsOf(harness, source, 6);
    // The next round would tell what is told twice, or of the others.
    await share(unused);
    for (const tenant of [source, target]) {
      expect(typesOf(await eventsOf(harness, tenant, 7))).to.deep.equal([
        'SHARE_TOKEN_CREATED',
        'SHARE_TOKEN_CREATED',
        'SESSION_IMPORTED',
        'SHARE_TOKEN_CREATED',
        'SHARE_TOKEN_REVOKED',
        'SHARE_TOKEN_EXPIRED',
        'SHARE_TOKEN_CREATED',
      ]);
    }
    const [, , , , , expired] = await feedOf(source, 7);
    expect(expired).to.include({ shareTokenId: expiring.id, sessionId: unused });
  });

  it('tell of no share token that has expired a moment ago: a process whose clock is behind still takes it', async () => {
    const [late, old] = [
      await share(await createSession(harness.db, source, 'user')),
      await share(await createSession(harness.db, source, 'user')),
    ];
    await eventsOf(harness, source, 2);
    await expireBefore(30_000, late.id);
    await expireBefore(100_000, old.id);
    const [, , expired] = await eventsOf(harness, source, 3);
    expect(expired).to.include({ shareTokenId: old.id });
  });

  it('tell both of what becomes of connections and proposals', async () => {
    const connections = new Connections(harness.client);
    const first = await connections.propose(source, 'source', target);
    await connections.accept(target, first.connectionId);
    const second = await connections.propose(
      target,
      'recipient',
      source,
      termsWith({ trustReview: true }),
    );
    await connections.accept(source, second.connectionId);
    await connections.end(target, second.connectionId);
    const third = await connections.propose(source, 'source', target);
    const other = await connections.propose(
      source,
      'source',
      target,
      termsWith({ trustReview: true }),
    );
    // What changes nothing is not told.
    await connections.accept(target, other.connectionId);
    await connections.accept(target, other.connectionId);
    await connections.end(source, other.connectionId);
    await connections.end(source, other.connectionId);
    const operator = openMultiDatabase({ url: serviceUrl(), poolSize: 1, lockWaitSeconds: 1 });
    const connection = {
      id: newId<ConnectionId>(),
      sourceApplicationId: source.applicationId,
      recipientApplicationId: target.applicationId,
      terms: everything,
    };
    const made = await connectApplications(operator, connection, () => new Date());
    await operator.destroy();
    const wanted = [
      ['CONNECTION_PROPOSED', first],
      ['CONNECTION_ACCEPTED', first],
      ['CONNECTION_PROPOSED', second],
      ['CONNECTION_ENDED', first],
      ['CONNECTION_ACCEPTED', second],
      ['CONNECTION_ENDED', second],
      ['CONNECTION_PROPOSED', third],
      ['CONNECTION_ENDED', third],
      ['CONNECTION_PROPOSED', other],
      ['CONNECTION_ACCEPTED', other],
      ['CONNECTION_ENDED', other],
      ['CONNECTION_ACCEPTED', { connectionId: made.id }],
    ] as const;
    for (const [tenant, side] of [
      [source, asSource()],
      [target, asRecipient()],
    ] as const) {
      const events = await eventsOf(harness, tenant, wanted.length);
      expect(typesOf(events)).to.deep.equal(wanted.map(([type]) => type));
      expect(await feedOf(tenant, wanted.length)).to.deep.equal(
        wanted.map(([, { connectionId }], at) => ({
          ...side,
          type: events[at]?.type,
          sessionKind: WireKind.SESSION_KIND_UNSPECIFIED,
          connectionId,
        })),
      );
    }
  });

  it('name the connection that an import rests on', async () => {
    const own = await startHarness({
      environment: { ...quickEvents, REQUIRE_CONNECTIONS: 'true' },
      signer: harness.signer,
    });
    try {
      const connections = new Connections(own.client);
      const { connectionId } = await connections.propose(source, 'source', target);
      await connections.accept(target, connectionId);
      const original = await createSession(own.db, source, 'user');
      await own.client.import(target.apiKey, {
        shareToken: await own.signer.share(source, target, 'user', original),
        workflowId: target.workflows.user,
      });
      const events = await eventsOf(own, target, 3);
      expect(events.map((event) => event.connectionId)).to.deep.equal(
        Array.from({ length: 3 }, () => connectionId),
      );
    } finally {
      await own.stop();
    }
  });

  it('tell the application that erases a session, once', async () => {
    const original = await createSession(harness.db, source, 'user');
    await importWith(await harness.signer.share(source, target, 'user', original));
    await erase(harness, source, original);
    await erase(harness, source, original);
    await share(await createSession(harness.db, source, 'user'));
    const [, erased] = await feedOf(source, 3);
    expect(erased).to.deep.equal({
      ...nothing,
      type: SessionEventType.SESSION_EVENT_TYPE_SESSION_ERASED,
      ownSide: ConnectionParty.CONNECTION_PARTY_UNSPECIFIED,
      otherApplicationId: undefined,
      sessionId: original,
      sessionKind: WireKind.SESSION_KIND_USER,
    });
    // Whoever has a copy learns it in the same way as of a withdrawal.
    expect(typesOf(await eventsOf(harness, target, 3))).to.have.members([
      'SESSION_IMPORTED',
      'SOURCE_WITHDRAWN',
      'SHARE_TOKEN_CREATED',
    ]);
  });

  it('tell each side its part of a withdrawal', async () => {
    const original = await createSession(harness.db, source, 'user');
    const copy = await importWith(await harness.signer.share(source, target, 'user', original));
    await withdraw(harness, source, original);
    await eventsOf(harness, target, 2);
    const { WITHDRAWAL_OUTCOME_KEPT: kept } = WithdrawalOutcome;
    await acknowledge(harness, target, copy.sessionId, kept);
    const sessionKind = WireKind.SESSION_KIND_USER;
    const [, withdrawn, answered] = await feedOf(source, 3);
    expect(withdrawn).to.deep.equal({
      ...nothing,
      ...{ type: SessionEventType.SESSION_EVENT_TYPE_SESSION_WITHDRAWN, sessionKind },
      ownSide: ConnectionParty.CONNECTION_PARTY_UNSPECIFIED,
      otherApplicationId: undefined,
      sessionId: original,
      reason: 'CONSENT_WITHDRAWN',
    });
    expect(answered).to.deep.equal({
      ...asSource(),
      ...{ type: SessionEventType.SESSION_EVENT_TYPE_WITHDRAWAL_ANSWERED, sessionKind },
      sessionId: original,
      reason: 'KEPT',
    });
    const [, reached] = await feedOf(target, 2);
    expect(reached).to.deep.equal({
      ...asRecipient(),
      ...{ type: SessionEventType.SESSION_EVENT_TYPE_SOURCE_WITHDRAWN, sessionKind },
      sessionId: copy.sessionId,
      sharedFromSession: original,
      reason: 'CONSENT_WITHDRAWN',
    });
  });

  it('are listed from any cursor on, in pages', async () => {
    const original = await createSession(harness.db, source, 'user');
    for (let count = 0; count < 7; count++) await share(original);
    const all = await eventsOf(harness, source, 7);
    const seen: SessionEvent[] = [];
    for (let after = 0; after < 7; after = must(seen.at(-1), 'an event').sequence) {
      const { events, lastSequence } = await listEvents(harness, source, { after, pageSize: 3 });
      expect(lastSequence).to.equal(7);
      expect(events.length).to.be.within(1, 3);
      seen.push(...events);
    }
    expect(seen).to.deep.equal(all);
    expect(await listEvents(harness, source, { after: 7 })).to.deep.equal({
      events: [],
      lastSequence: 7,
    });
  });

  it('are none for an application in which nothing has happened', async () => {
    expect(await listEvents(harness, source)).to.deep.equal({ events: [], lastSequence: 0 });
  });

  it('are not listed from a cursor that is ahead of them, or is none', async () => {
    await share(await createSession(harness.db, source, 'user'));
    await eventsOf(harness, source, 1);
    expect(await failureOf(listEvents(harness, source, { after: 2 }))).to.deep.include({
      code: 'OUT_OF_RANGE',
      reason: 'EVENT_CURSOR_AHEAD',
      metadata: { last_sequence: '1' },
    });
    expect(await failureOf(listEvents(harness, source, { after: -1 }))).to.include({
      code: 'INVALID_ARGUMENT',
      reason: 'INVALID_REQUEST',
    });
    // JavaScript has no such number: 2^62 - 1.
    const huge = Buffer.from([0x08, ...Array.from({ length: 8 }, () => 0xff), 0x3f]);
    const method = { ...SessionEventsService.listEvents, requestSerialize: () => huge };
    const call = harness.client.call(method, source.apiKey, ListEventsRequest.fromPartial({}));
    expect(await failureOf(call)).to.include({ reason: 'INVALID_REQUEST' });
  });

  it('that were deleted are not passed over: the cursor has expired', async () => {
    const original = await createSession(harness.db, source, 'user');
    for (let count = 1; count <= 3; count++) {
      await share(original);
      await eventsOf(harness, source, count);
    }
    await harness
      .db('session_events')
      .where({ application_id: toBinary(source.applicationId) })
      .where('last_sequence', '<=', 2)
      .delete();
    for (const after of [0, 1]) {
      expect(await failureOf(listEvents(harness, source, { after }))).to.deep.include({
        code: 'OUT_OF_RANGE',
        reason: 'EVENT_CURSOR_EXPIRED',
        metadata: { oldest_after: '2' },
      });
    }
    const { events } = await listEvents(harness, source, { after: 2 });
    expect(events.map(({ sequence }) => sequence)).to.deep.equal([3]);
  });

  // The last one of this file: what the others have told.
  it('were of every type of the contract', () => {
    const all = Object.values(SessionEventType).filter((type) => Number(type) > 0);
    // Told by a sweep: see test/sweeps.
    told.add(SessionEventType.SESSION_EVENT_TYPE_SOURCE_CHANGED);
    expect([...told]).to.have.members(all);
  });
});
