import { expect } from 'chai';
import {
  ConnectionEnding,
  ConnectionParty,
  ConnectionState,
  ConnectionTerms,
  ProposeConnectionRequest,
  SessionConnectionService,
  type Connection,
} from '../../src/gen/sessionimport/v1/session_connection';
import { SessionKind } from '../../src/gen/sessionimport/v1/session_import';
import { openMultiDatabase } from '../../src/db/connection';
import { connectionSides, otherSide, type ConnectionSide } from '../../src/model/connection-record';
import { newId, toBinary, type ApplicationId, type ConnectionId } from '../../src/model/ids';
import { must } from '../../src/model/must';
import { connectApplications, type OperatorConnection } from '../../src/store/connections/connect';
import { failureOf } from '../support/client';
import { Connections, termsWith, wireSides } from '../support/connection-calls';
import { createTenant, type Tenant } from '../support/fixtures';
import { without } from '../support/helpers';
import { serviceUrl } from '../support/mysql';
import { select } from '../support/rows';
import { startHarness, type Harness } from '../support/service';

const { SESSION_KIND_USER, SESSION_KIND_BUSINESS } = SessionKind;
const { CONNECTION_STATE_PROPOSED, CONNECTION_STATE_ACTIVE, CONNECTION_STATE_ENDED } =
  ConnectionState;
const day = 86_400_000;

describe('a connection', () => {
  let harness: Harness;
  let connections: Connections;
  /** How far the clock of the service is ahead, in milliseconds. */
  let ahead = 0;
  before(async () => {
    harness = await startHarness({ clock: () => new Date(Date.now() + ahead) });
    connections = new Connections(harness.client);
  });
  afterEach(() => {
    ahead = 0;
  });
  after(() => harness.stop());

  /** Two applications that have nothing to do with each other yet. */
  const pair = async (): Promise<{ one: Tenant; other: Tenant }> => ({
    one: await createTenant(harness.db),
    other: await createTenant(harness.db),
  });

  const active = async (source: Tenant, recipient: Tenant, terms = termsWith()) => {
    const { connectionId } = await connections.propose(source, 'source', recipient, terms);
    return connections.accept(recipient, connectionId);
  };

  /** The terms that an operator gives. */
  const anyUser: OperatorConnection['terms'] = {
    kinds: ['user'],
    ...{ linkedSessions: false, trustReview: false, longestTtl: null },
    ...{ relations: null, groundsRequired: false, agreement: null, certifiedUntil: null },
  };

  /** Adds proposals like an existing one, to applications that do not exist. */
  const addProposals = async (like: string, side: ConnectionSide, many: number): Promise<void> => {
    const table = harness.db<Record<string, unknown>>('session_connections');
    const row = await table
      .clone()
      .where({ id: toBinary(like as ConnectionId) })
      .first();
    const added = Array.from({ length: many }, () => ({
      ...row,
      ...{ id: toBinary(newId()), [`${otherSide(side)}_application_id`]: toBinary(newId()) },
    }));
    await table.clone().insert(added);
  };

  const everything = ConnectionTerms.fromPartial({
    sessionKinds: [SESSION_KIND_USER, SESSION_KIND_BUSINESS],
    linkedSessions: true,
    trustReview: true,
    longestTtl: { seconds: 600, nanos: 0 },
    relations: ['reviews', 'faces', 'key_people_checks', 'key_people'],
    groundsRequired: true,
    agreement: 'contracts/2031:7',
    certifiedUntil: new Date('2999-01-01T00:00:00.000Z'),
  });

  for (const side of connectionSides) {
    describe(`that the ${side} proposes`, () => {
      it('can be seen by both, is accepted by the other, and ended by either, for good', async () => {
        for (const ender of connectionSides) {
          const { one, other } = await pair();
          const [source, recipient] = side === 'source' ? [one, other] : [other, one];
          const proposed = await connections.propose(one, side, other, everything);
          const { createdAt, acceptableUntil } = proposed;
          expect(acceptableUntil?.getTime()).to.equal((createdAt?.getTime() ?? 0) + 30 * day);
          const known = {
            connectionId: proposed.connectionId,
            sourceApplication: source.applicationId,
            recipientApplication: recipient.applicationId,
            terms: everything,
            proposedBy: wireSides[side],
            createdAt,
            ...{ endedAt: undefined, endedBy: ConnectionParty.CONNECTION_PARTY_UNSPECIFIED },
            ...{ ending: ConnectionEnding.CONNECTION_ENDING_UNSPECIFIED },
            ...{ replacedBy: undefined, lastUsedAt: undefined },
          };
          expect(proposed).to.deep.equal({
            ...known,
            state: CONNECTION_STATE_PROPOSED,
            acceptableUntil,
            acceptedAt: undefined,
          });
          for (const each of [one, other]) {
            expect(await connections.get(each, proposed.connectionId)).to.deep.equal(proposed);
          }

          const accepted = await connections.accept(other, proposed.connectionId);
          const { acceptedAt } = accepted;
          expect(acceptedAt).to.be.instanceOf(Date);
          const activeNow = { ...known, state: CONNECTION_STATE_ACTIVE, acceptedAt };
          expect(accepted).to.deep.equal({ ...activeNow, acceptableUntil: undefined });
          for (const each of [one, other]) {
            expect(await connections.get(each, proposed.connectionId)).to.deep.equal(accepted);
          }

          const by = ender === 'source' ? source : recipient;
          const ended = await connections.end(by, proposed.connectionId);
          expect(ended).to.deep.equal({
            ...accepted,
            state: CONNECTION_STATE_ENDED,
            ending: ConnectionEnding.CONNECTION_ENDING_ENDED,
            endedBy: wireSides[ender],
            endedAt: ended.endedAt,
          });
          expect(ended.endedAt).to.be.instanceOf(Date);
          for (const each of [one, other]) {
            expect(await connections.end(each, proposed.connectionId)).to.deep.equal(ended);
            expect(await connections.get(each, proposed.connectionId)).to.deep.equal(ended);
          }
          expect(await failureOf(connections.accept(other, proposed.connectionId))).to.deep.include(
            {
              code: 'FAILED_PRECONDITION',
              reason: 'CONNECTION_ENDED',
              metadata: { connection_id: proposed.connectionId },
            },
          );
        }
      });

      it('is withdrawn by itself, or declined by the other, and can then not be accepted', async () => {
        for (const [ender, ending] of [
          [side, ConnectionEnding.CONNECTION_ENDING_WITHDRAWN],
          [otherSide(side), ConnectionEnding.CONNECTION_ENDING_DECLINED],
        ] as const) {
          const { one, other } = await pair();
          const { connectionId } = await connections.propose(one, side, other);
          const ended = await connections.end(ender === side ? one : other, connectionId);
          expect(ended).to.include({
            state: CONNECTION_STATE_ENDED,
            ending,
            endedBy: wireSides[ender],
            acceptedAt: undefined,
            acceptableUntil: undefined,
          });
          const failure = await failureOf(connections.accept(other, connectionId));
          expect(failure.reason).to.equal('CONNECTION_ENDED');
        }
      });

      it('is not accepted by itself, in whatever state it is', async () => {
        const { one, other } = await pair();
        const { connectionId } = await connections.propose(one, side, other);
        const refused = {
          code: 'PERMISSION_DENIED',
          reason: 'CONNECTION_OWN_PROPOSAL',
          metadata: { connection_id: connectionId },
        };
        expect(await failureOf(connections.accept(one, connectionId))).to.deep.include(refused);
        await connections.accept(other, connectionId);
        expect(await failureOf(connections.accept(one, connectionId))).to.deep.include(refused);
        await connections.end(other, connectionId);
        expect(await failureOf(connections.accept(one, connectionId))).to.deep.include(refused);
      });

      it('is the same if it is proposed again, and withdrawn by other terms', async () => {
        const { one, other } = await pair();
        const first = await connections.propose(one, side, other, everything);
        expect(
          await connections.propose(one, side, other, {
            ...everything,
            sessionKinds: everything.sessionKinds.toReversed(),
            relations: everything.relations.toReversed(),
          }),
        ).to.deep.equal(first);
        const second = await connections.propose(one, side, other, {
          ...everything,
          trustReview: false,
        });
        expect(second.connectionId).not.to.equal(first.connectionId);
        expect(await connections.get(other, first.connectionId)).to.include({
          ending: ConnectionEnding.CONNECTION_ENDING_WITHDRAWN,
          endedBy: wireSides[side],
          replacedBy: undefined,
        });
        const accepted = await connections.accept(other, second.connectionId);
        expect(accepted.terms).to.deep.equal({ ...everything, trustReview: false });
      });

      it('replaces the active one when it is accepted, and not before', async () => {
        const { one, other } = await pair();
        const [source, recipient] = side === 'source' ? [one, other] : [other, one];
        const { connectionId: old } = await active(source, recipient);
        const proposed = await connections.propose(
          one,
          side,
          other,
          termsWith({ trustReview: true }),
        );
        expect((await connections.get(one, old)).state).to.equal(CONNECTION_STATE_ACTIVE);
        const { connectionId, acceptedAt } = await connections.accept(other, proposed.connectionId);
        for (const each of [one, other]) {
          expect(await connections.get(each, old)).to.deep.include({
            state: CONNECTION_STATE_ENDED,
            ending: ConnectionEnding.CONNECTION_ENDING_REPLACED,
            endedBy: wireSides[otherSide(side)],
            endedAt: acceptedAt,
            replacedBy: connectionId,
          });
        }
        const again = await connections.accept(other, connectionId);
        expect(again).to.include({ connectionId, state: CONNECTION_STATE_ACTIVE });
      });

      it('expires if nobody accepts it within 30 days', async () => {
        const { one, other } = await pair();
        const terms = termsWith({ agreement: 'a' });
        const { connectionId, acceptableUntil } = await connections.propose(
          one,
          side,
          other,
          terms,
        );
        ahead = 30 * day;
        const expired = await connections.get(other, connectionId);
        expect(expired).to.deep.include({
          state: CONNECTION_STATE_ENDED,
          ending: ConnectionEnding.CONNECTION_ENDING_EXPIRED,
          endedBy: ConnectionParty.CONNECTION_PARTY_UNSPECIFIED,
          endedAt: acceptableUntil,
          acceptableUntil: undefined,
        });
        const failure = await failureOf(connections.accept(other, connectionId));
        expect(failure.reason).to.equal('CONNECTION_ENDED');
        for (const each of [one, other]) {
          expect(await connections.end(each, connectionId)).to.deep.equal(expired);
        }
        const ids = async (state: ConnectionState): Promise<string[]> =>
          (await connections.list(one, { state })).connections.map((each) => each.connectionId);
        expect(await ids(CONNECTION_STATE_PROPOSED)).to.deep.equal([]);
        expect(await ids(CONNECTION_STATE_ENDED)).to.deep.equal([connectionId]);

        const next = await connections.propose(one, side, other, terms);
        expect(next.connectionId).not.to.equal(connectionId);
        expect(await connections.get(other, connectionId)).to.deep.equal(expired);
        expect(await ids(CONNECTION_STATE_PROPOSED)).to.deep.equal([next.connectionId]);
        expect(await ids(CONNECTION_STATE_ENDED)).to.deep.equal([connectionId]);
        ahead = 0;
        expect(await connections.get(other, connectionId)).to.deep.equal(expired);
      });

      it('records who acted for an application, and shows it to nobody', async () => {
        const { one, other } = await pair();
        const { connectionId } = await connections.propose(one, side, other);
        await connections.accept(other, connectionId);
        await connections.end(one, connectionId);
        const [row] = await select(
          `SELECT COUNT(*) AS actors FROM session_connections c
           JOIN api_keys p ON p.id = c.proposed_by_api_key_id AND p.application_id = ?
           JOIN api_keys a ON a.id = c.accepted_by_api_key_id AND a.application_id = ?
           WHERE c.id = ? AND c.ended_by_api_key_id = p.id`,
          [one, other, { applicationId: connectionId as ApplicationId }].map(({ applicationId }) =>
            toBinary(applicationId),
          ),
        );
        expect(row).to.deep.equal({ actors: '1' });
      });
    });
  }

  it('is made of either of two proposals of both sides, and each can be accepted', async () => {
    const { one, other } = await pair();
    const first = await connections.propose(one, 'source', other, termsWith({ agreement: 'a' }));
    const second = await connections.propose(
      other,
      'recipient',
      one,
      termsWith({ agreement: 'b' }),
    );
    await connections.accept(other, first.connectionId);
    await connections.accept(one, second.connectionId);
    expect(await connections.get(one, first.connectionId)).to.include({
      ending: ConnectionEnding.CONNECTION_ENDING_REPLACED,
      replacedBy: second.connectionId,
    });
  });

  it('has one direction: the other one is another connection', async () => {
    const { one, other } = await pair();
    const there = await active(one, other);
    const back = await active(other, one);
    await connections.end(one, there.connectionId);
    expect((await connections.get(one, back.connectionId)).state).to.equal(CONNECTION_STATE_ACTIVE);
  });

  it('can not be accepted once its own certification is over, and then stays what it was', async () => {
    const { one, other } = await pair();
    const until = new Date(Math.ceil(Date.now() / 1_000) * 1_000 + 3_600_000);
    const terms = termsWith({ certifiedUntil: until });
    const late = await connections.propose(one, 'source', other, terms);
    expect(late.acceptableUntil).to.deep.equal(until);
    const early = await active(other, one, terms);
    ahead = 2 * 3_600_000;
    expect((await failureOf(connections.accept(other, late.connectionId))).reason).to.equal(
      'CONNECTION_ENDED',
    );
    expect(await connections.get(one, late.connectionId)).to.deep.include({
      ending: ConnectionEnding.CONNECTION_ENDING_EXPIRED,
      endedAt: until,
    });
    expect((await connections.get(one, early.connectionId)).state).to.equal(
      CONNECTION_STATE_ACTIVE,
    );
  });

  it('of others is answered like one that does not exist, by get, accept and end', async () => {
    const { one, other } = await pair();
    const { one: stranger } = await pair();
    const { connectionId: proposed } = await connections.propose(one, 'source', other);
    const { connectionId: accepted } = await active(other, one);
    for (const act of ['get', 'accept', 'end'] as const) {
      for (const id of [proposed, accepted, newId()]) {
        const { message, resource, ...failure } = await failureOf(connections[act](stranger, id));
        expect(failure).to.deep.include({
          code: 'NOT_FOUND',
          reason: 'CONNECTION_NOT_FOUND',
          metadata: { connection_id: id },
        });
        expect(message).to.equal(
          `Your application has no connection ${id}. See ListConnections for those that it has.`,
        );
        expect(resource).to.include({
          resourceType: 'session-import/connection',
          resourceName: id,
        });
      }
    }
    expect((await connections.list(stranger)).connections).to.deep.equal([]);
    expect((await connections.get(one, proposed)).state).to.equal(CONNECTION_STATE_PROPOSED);
    expect((await connections.get(one, accepted)).state).to.equal(CONNECTION_STATE_ACTIVE);
  });

  it('can be proposed to an application that does not exist, and looks the same', async () => {
    const { one, other } = await pair();
    const nobody = { applicationId: newId<ApplicationId>() };
    for (const side of connectionSides) {
      const seen = async (to: Pick<Tenant, 'applicationId'>): Promise<Partial<Connection>[]> => {
        const first = await connections.propose(one, side, to);
        const same = await connections.propose(one, side, to);
        expect(same).to.deep.equal(first);
        const shown = await connections.get(one, first.connectionId);
        const refused = await failureOf(connections.accept(one, first.connectionId));
        expect(refused.reason).to.equal('CONNECTION_OWN_PROPOSAL');
        const ended = await connections.end(one, first.connectionId);
        return [first, shown, ended].map((each) =>
          ['connectionId', 'createdAt', 'acceptableUntil', 'endedAt'].reduce<Connection>(
            (rest, name) => without(rest, name),
            { ...each, [`${otherSide(side)}Application`]: 'the other' },
          ),
        );
      };
      expect(await seen(nobody)).to.deep.equal(await seen(other));
    }
  });

  it('is not proposed a hundred and first time, until one is withdrawn, accepted, or expires', async () => {
    const { one, other } = await pair();
    const nobody = () => ({ applicationId: newId<ApplicationId>() });
    const { connectionId } = await connections.propose(one, 'recipient', other);
    for (const side of connectionSides) {
      const made = await connections.propose(one, side, nobody());
      await addProposals(made.connectionId, side, 48);
    }
    await connections.propose(one, 'source', nobody());
    const full = {
      code: 'FAILED_PRECONDITION',
      reason: 'TOO_MANY_PROPOSALS',
      metadata: { limit: '100' },
    };
    for (const side of connectionSides) {
      expect(await failureOf(connections.propose(one, side, nobody()))).to.deep.include(full);
    }
    // The same one again, and other terms in its place, are not one more. Nor does it count what others propose.
    const same = await connections.propose(one, 'recipient', other);
    expect(same.connectionId).to.equal(connectionId);
    const instead = await connections.propose(
      one,
      'recipient',
      other,
      termsWith({ agreement: 'b' }),
    );
    await connections.propose(other, 'source', one);
    await connections.accept(other, instead.connectionId);
    const { connectionId: last } = await connections.propose(one, 'source', nobody());
    expect(await failureOf(connections.propose(one, 'source', nobody()))).to.deep.include(full);
    await connections.end(one, last);
    await connections.propose(one, 'source', nobody());
    expect(await failureOf(connections.propose(one, 'source', nobody()))).to.deep.include(full);
    ahead = 30 * day;
    await connections.propose(one, 'source', nobody());
    const open =
      'SELECT COUNT(*) AS open FROM session_connections WHERE open = 1 AND ? IN (source_application_id, recipient_application_id) AND expires_at > created_at';
    const [counted] = await select(open, [toBinary(one.applicationId)]);
    // Its own new one, and the one that the other application has proposed.
    expect(counted).to.deep.equal({ open: '2' });
  });

  for (const side of connectionSides) {
    it(`is not proposed to the same application a twenty-first time in a day by the ${side}`, async () => {
      const { one, other } = await pair();
      const propose = (agreement: string) =>
        connections.propose(one, side, other, termsWith({ agreement }));
      for (let round = 1; round <= 6; round++) {
        await propose(`withdrawn/${round}`);
        await connections.end(other, (await propose(`declined/${round}`)).connectionId);
        await connections.accept(other, (await propose(`accepted/${round}`)).connectionId);
      }
      await propose('a/19');
      const last = await propose('a/20');
      const full = {
        code: 'FAILED_PRECONDITION',
        reason: 'TOO_MANY_PROPOSALS',
        metadata: { limit: '20', other_application_id: other.applicationId },
      };
      expect(await failureOf(propose('a/21'))).to.deep.include(full);
      expect(await connections.get(one, last.connectionId)).to.deep.equal(last);
      expect(await propose('a/20')).to.deep.equal(last);
      await connections.accept(other, last.connectionId);
      expect(await failureOf(propose('a/21'))).to.deep.include(full);

      // The other direction, the other side, and other applications have limits of their own. Operators have none.
      await connections.propose(one, otherSide(side), other);
      await connections.propose(other, otherSide(side), one);
      await connections.propose(one, side, await createTenant(harness.db));
      const [source, recipient] = side === 'source' ? [one, other] : [other, one];
      const operator = openMultiDatabase({ url: serviceUrl(), poolSize: 1, lockWaitSeconds: 1 });
      const connection = {
        ...{ id: newId<ConnectionId>(), terms: anyUser },
        ...{ sourceApplicationId: source.applicationId },
        ...{ recipientApplicationId: recipient.applicationId },
      };
      await connectApplications(operator, connection, () => new Date());
      await operator.destroy();

      ahead = day - 60_000;
      expect(await failureOf(propose('a/21'))).to.deep.include(full);
      // More than a day: a test of this process may have had its clock two days ahead, and ids never go back.
      ahead = 4 * day;
      await propose('a/21');
    });
  }

  describe('and its terms', () => {
    const both = { sessionKinds: [SESSION_KIND_USER, SESSION_KIND_BUSINESS] };
    const wrong: Readonly<Record<string, Readonly<Record<string, Partial<ConnectionTerms>>>>> = {
      'terms.session_kinds': {
        'no kind': { sessionKinds: [] },
        'an unknown kind': { sessionKinds: [SessionKind.UNRECOGNIZED] },
        'a kind that is not set': { sessionKinds: [SessionKind.SESSION_KIND_UNSPECIFIED] },
        'a kind twice': { sessionKinds: [SESSION_KIND_USER, SESSION_KIND_USER] },
        'too many': { sessionKinds: Array.from({ length: 101 }, () => SESSION_KIND_USER) },
      },
      'terms.linked_sessions': { 'linked sessions of one kind': { linkedSessions: true } },
      'terms.longest_ttl': {
        'too short': { longestTtl: { seconds: 59, nanos: 0 } },
        'too long': { longestTtl: { seconds: 86_401, nanos: 0 } },
        'a fraction': { longestTtl: { seconds: 60, nanos: 1 } },
        negative: { longestTtl: { seconds: -60, nanos: 0 } },
      },
      'terms.relations': {
        'one that there is not': { relations: ['faces', 'nothing'] },
        'one of the other kind': { relations: ['key_people'] },
        'one twice': { relations: ['faces', 'faces'] },
        'one without the one that its rows belong to': { relations: ['faces', 'aml_hits'] },
        'no key people, with linked sessions': {
          ...both,
          linkedSessions: true,
          relations: ['reviews'],
        },
        'none of a kind of sessions': { ...both, relations: ['faces'] },
        'too many': { relations: Array.from({ length: 101 }, () => 'faces') },
      },
      'terms.agreement': {
        empty: { agreement: '' },
        'a sentence': { agreement: 'the contract of May' },
        'too long': { agreement: 'a'.repeat(129) },
      },
      'terms.certified_until': {
        'the past': { certifiedUntil: new Date('2020-01-01T00:00:00Z') },
        'the year 0': { certifiedUntil: new Date('0000-06-01T00:00:00Z') },
      },
    };
    for (const [field, cases] of Object.entries(wrong)) {
      for (const [title, some] of Object.entries(cases)) {
        it(`are refused with ${field} of ${title}`, async () => {
          const { one, other } = await pair();
          const failure = await failureOf(
            connections.propose(one, 'source', other, termsWith(some)),
          );
          expect(failure).to.include({ code: 'INVALID_ARGUMENT', reason: 'INVALID_REQUEST' });
          const fields = failure.badRequest?.fieldViolations.map((each) => each.field) ?? [];
          expect(fields.map((name) => name.replace(/\[\d+\]$/, ''))).to.deep.equal([field]);
        });
      }
    }

    it('are required, as are the other application and the own side', async () => {
      const { one } = await pair();
      const failure = await failureOf(
        harness.client.call(
          SessionConnectionService.proposeConnection,
          one.apiKey,
          ProposeConnectionRequest.fromPartial({}),
        ),
      );
      const violations = failure.badRequest?.fieldViolations ?? [];
      expect(violations.map(({ field, description }) => `${field} ${description}`)).to.deep.equal([
        'other_application_id is required',
        'own_side is required: source or recipient',
        'terms is required',
      ]);
      const own = await failureOf(connections.propose(one, 'source', one));
      expect(own.badRequest?.fieldViolations.map(({ field }) => field)).to.deep.equal([
        'other_application_id',
      ]);
    });

    it('say what their relations lack', async () => {
      const { one, other } = await pair();
      const terms = termsWith({ ...both, linkedSessions: true, relations: ['aml_hits', 'faces'] });
      const failure = await failureOf(connections.propose(one, 'source', other, terms));
      const violations = failure.badRequest?.fieldViolations ?? [];
      expect(violations.map(({ field, description }) => `${field} ${description}`)).to.deep.equal([
        'terms.relations[0] must not be there without aml_screenings, to whose rows its rows belong',
        'terms.relations must have key_people if linked sessions are shared: key people name them',
      ]);
    });

    it('may be the least and the most that there can be', async () => {
      for (const terms of [
        termsWith({ longestTtl: { seconds: 60, nanos: 0 }, relations: [] }),
        termsWith({ longestTtl: { seconds: 86_400, nanos: 0 }, agreement: 'a'.repeat(128) }),
        termsWith({ certifiedUntil: new Date('9999-12-31T23:59:59.000Z') }),
        // Nothing of a person's session, except that it is linked.
        termsWith({
          ...both,
          linkedSessions: true,
          relations: ['key_people_checks', 'key_people'],
        }),
      ]) {
        const { one, other } = await pair();
        const { terms: kept } = await active(one, other, terms);
        expect(kept).to.deep.equal(terms);
      }
      const { one, other } = await pair();
      const certifiedUntil = new Date('2999-01-01T00:00:00.900Z');
      const { terms } = await connections.propose(
        one,
        'source',
        other,
        termsWith({ certifiedUntil }),
      );
      expect(terms?.certifiedUntil).to.deep.equal(new Date('2999-01-01T00:00:00.000Z'));
    });
  });

  describe('in the list of an application', () => {
    it('is found by its state, by the side and by the other application, newest first', async () => {
      const { one, other } = await pair();
      const { one: third } = await pair();
      const made: Record<string, Connection> = {
        proposed: await connections.propose(one, 'source', third),
        received: await connections.propose(third, 'source', one),
        active: await active(other, one),
        ended: await connections.end(one, (await active(one, other)).connectionId),
      };
      await active(other, third);
      const names = async (filter: object): Promise<(string | undefined)[]> => {
        const { connections: found } = await connections.list(one, filter);
        return found.map(({ connectionId }) =>
          Object.keys(made).find((name) => made[name]?.connectionId === connectionId),
        );
      };
      expect(await names({})).to.deep.equal(['ended', 'active', 'received', 'proposed']);
      expect(await names({ state: CONNECTION_STATE_PROPOSED })).to.deep.equal([
        'received',
        'proposed',
      ]);
      expect(await names({ state: CONNECTION_STATE_ACTIVE })).to.deep.equal(['active']);
      expect(await names({ state: CONNECTION_STATE_ENDED })).to.deep.equal(['ended']);
      expect(await names({ ownSide: wireSides.source })).to.deep.equal(['ended', 'proposed']);
      expect(await names({ ownSide: wireSides.recipient })).to.deep.equal(['active', 'received']);
      expect(await names({ otherApplicationId: other.applicationId })).to.deep.equal([
        'ended',
        'active',
      ]);
      expect(
        await names({ otherApplicationId: third.applicationId, ownSide: wireSides.recipient }),
      ).to.deep.equal(['received']);
      expect(await names({ otherApplicationId: newId() })).to.deep.equal([]);
    });

    it('comes once, whatever the pages are', async () => {
      const { one, other } = await pair();
      const all: string[] = [];
      for (let number = 0; number < 7; number++) {
        const [source, recipient] = number % 3 === 0 ? [one, other] : [other, one];
        const { connectionId } = await active(source, recipient);
        all.unshift(connectionId);
      }
      for (const pageSize of [1, 2, 3, 7]) {
        const found: string[] = [];
        let pageToken = '';
        do {
          const page = await connections.list(one, { pageSize, pageToken });
          expect(page.connections.length).to.be.at.most(pageSize);
          found.push(...page.connections.map(({ connectionId }) => connectionId));
          pageToken = page.nextPageToken;
        } while (pageToken !== '');
        expect(found).to.deep.equal(all);
      }
    });

    it('names the filter that is wrong', async () => {
      const { one } = await pair();
      for (const [field, request] of Object.entries({
        state: { state: ConnectionState.UNRECOGNIZED },
        own_side: { ownSide: ConnectionParty.CONNECTION_PARTY_OPERATOR },
        page_size: { pageSize: -1 },
      })) {
        const { badRequest } = await failureOf(connections.list(one, request));
        expect(must(badRequest, field).fieldViolations.map((each) => each.field)).to.deep.equal([
          field,
        ]);
      }
    });
  });
});
