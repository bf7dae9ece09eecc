import { expect } from 'chai';
import {
  SessionShareService,
  WithdrawalOutcome,
} from '../../src/gen/sessionimport/v1/session_share';
import { toBinary, toId, type SessionId } from '../../src/model/ids';
import { failureOf, sessionOf } from '../support/client';
import { Connections, termsWith } from '../support/connection-calls';
import { erase, retain } from '../support/erasure';
import { addShareTokens, createSession, createTenant } from '../support/fixtures';
import { select } from '../support/rows';
import { startProxiedHarness, type ProxiedHarness } from '../support/service';
import { acknowledge, withdraw } from '../support/withdrawals';

/** A call that waits for a lock, and what it has recorded as its moment. */
interface Dated {
  readonly call: () => Promise<unknown>;
  readonly recorded: string;
  readonly id: string;
}

/** A time as MySQL writes it. */
const stored = (at: Date): string => at.toISOString().replace('T', ' ').replace('Z', '000');

describe('the moment of a call that waits for a lock', () => {
  let harness: ProxiedHarness;
  let connections: Connections;
  let now = new Date();
  before(async () => {
    harness = await startProxiedHarness({}, () => now);
    connections = new Connections(harness.client);
  });
  after(() => harness.stop());

  const ofSessions = /`user_sessions`[^]*FOR UPDATE/;
  const ofConnections = /session_connections[^]*FOR UPDATE/;

  const session = (): Promise<SessionId> => createSession(harness.db, harness.source, 'user');
  const proposal = async (): Promise<string> => {
    const other = await createTenant(harness.db);
    return (await connections.propose(other, 'recipient', harness.source)).connectionId;
  };
  const copyOf = async (original: SessionId): Promise<SessionId> => {
    const { signer, source, target, client } = harness;
    const shareToken = await signer.share(source, target, 'user', original);
    const workflowId = target.workflows.user;
    return toId(
      sessionOf(await client.import(target.apiKey, { shareToken, workflowId })).sessionId,
    );
  };
  const withToken = async (): Promise<{ readonly id: SessionId; readonly token: string }> => {
    const { db, source, target } = harness;
    const id = await session();
    const [token = ''] = await addShareTokens(db, source, target, id, 1);
    return { id, token };
  };
  const revoke = (value: string) =>
    harness.client.call(SessionShareService.revokeShareToken, harness.source.apiKey, {
      target: { $case: 'shareTokenId', value },
    });

  const cases: Readonly<Record<string, readonly [RegExp, () => Promise<Dated>]>> = {
    RevokeShareToken: [
      ofSessions,
      async () => {
        const { token: id } = await withToken();
        const recorded = 'SELECT revoked_at AS at FROM share_tokens WHERE id = ?';
        return { call: () => revoke(id), recorded, id };
      },
    ],
    'the revocation of WithdrawSession': [
      ofSessions,
      async () => {
        const { id: original, token: id } = await withToken();
        const recorded = 'SELECT revoked_at AS at FROM share_tokens WHERE id = ?';
        return { call: () => withdraw(harness, harness.source, original), recorded, id };
      },
    ],
    WithdrawSession: [
      ofSessions,
      async () => {
        const id = await session();
        const recorded = 'SELECT withdrawn_at AS at FROM session_withdrawals WHERE session_id = ?';
        return { call: () => withdraw(harness, harness.source, id), recorded, id };
      },
    ],
    AcknowledgeWithdrawal: [
      ofSessions,
      async () => {
        const original = await session();
        const id = await copyOf(original);
        await withdraw(harness, harness.source, original);
        const { WITHDRAWAL_OUTCOME_KEPT: kept } = WithdrawalOutcome;
        const recorded = 'SELECT answered_at AS at FROM session_withdrawals WHERE session_id = ?';
        return { call: () => acknowledge(harness, harness.target, id, kept), recorded, id };
      },
    ],
    EraseSession: [
      ofSessions,
      async () => {
        const id = await session();
        const recorded = 'SELECT erased_at AS at FROM session_erasures WHERE session_id = ?';
        return { call: () => erase(harness, harness.source, id), recorded, id };
      },
    ],
    SetRetention: [
      ofSessions,
      async () => {
        const id = await session();
        const hold = { hold: { until: undefined, reference: undefined }, eraseAfter: undefined };
        const recorded = 'SELECT held_since AS at FROM session_retention WHERE session_id = ?';
        return { call: () => retain(harness, harness.source, id, hold), recorded, id };
      },
    ],
    AcceptConnection: [
      ofConnections,
      async () => {
        const id = await proposal();
        const recorded = 'SELECT accepted_at AS at FROM session_connections WHERE id = ?';
        return { call: () => connections.accept(harness.source, id), recorded, id };
      },
    ],
    EndConnection: [
      ofConnections,
      async () => {
        const id = await proposal();
        await connections.accept(harness.source, id);
        const recorded = 'SELECT ended_at AS at FROM session_connections WHERE id = ?';
        return { call: () => connections.end(harness.source, id), recorded, id };
      },
    ],
    'a proposal that takes the place of another': [
      ofConnections,
      async () => {
        const { db, source } = harness;
        const other = await createTenant(db);
        const { connectionId: id } = await connections.propose(source, 'source', other);
        const recorded = 'SELECT ended_at AS at FROM session_connections WHERE id = ?';
        const terms = termsWith({ trustReview: true });
        return { call: () => connections.propose(source, 'source', other, terms), recorded, id };
      },
    ],
  };

  for (const [name, [locking, prepare]] of Object.entries(cases)) {
    it(`is when it has the lock: ${name}`, async () => {
      const { call, recorded, id } = await prepare();
      const { came, letGo } = harness.proxy.holdBack(locking);
      const calling = call();
      await came;
      // Whoever has the lock meanwhile is before the call.
      now = new Date(now.getTime() + 10_000);
      letGo();
      await calling;
      harness.proxy.intercept = undefined;
      expect(await select(recorded, [toBinary(toId(id))])).to.deep.equal([{ at: stored(now) }]);
    });
  }

  it('is new if a try before it has written nothing', async () => {
    const { token: id } = await withToken();
    let tries = 0;
    harness.proxy.intercept = (statement) => {
      if (!statement.sql.includes('UPDATE share_tokens')) return;
      now = new Date(now.getTime() + 10_000);
      if (++tries === 1) statement.cut();
    };
    const later = new Date(now.getTime() + 10_000);
    expect(await revoke(id)).to.include({ revoked: 1 });
    harness.proxy.intercept = undefined;
    expect(tries).to.equal(2);
    const recorded = 'SELECT revoked_at AS at FROM share_tokens WHERE id = ?';
    expect(await select(recorded, [toBinary(toId(id))])).to.deep.equal([{ at: stored(later) }]);
  });

  it('must be before what it sets', async () => {
    const { db, source, proxy } = harness;
    const soon = new Date(now.getTime() + 5_000);
    const refused = async (locking: RegExp, call: () => Promise<unknown>): Promise<void> => {
      const { came, letGo } = proxy.holdBack(locking);
      const failing = failureOf(call());
      await came;
      now = new Date(now.getTime() + 10_000);
      letGo();
      expect(await failing).to.include({ reason: 'INVALID_REQUEST' });
      proxy.intercept = undefined;
      now = new Date(now.getTime() - 10_000);
    };
    const id = await session();
    const hold = { hold: { until: soon, reference: undefined }, eraseAfter: undefined };
    await refused(ofSessions, () => retain(harness, source, id, hold));
    const set = 'SELECT 1 FROM session_retention WHERE session_id = ?';
    expect(await select(set, [toBinary(id)])).to.deep.equal([]);

    const other = await createTenant(db);
    const open = await connections.propose(source, 'source', other);
    const terms = termsWith({ certifiedUntil: soon });
    await refused(ofConnections, () => connections.propose(source, 'source', other, terms));
    const { state } = await connections.get(source, open.connectionId);
    expect(state).to.equal(open.state);
  });
});
