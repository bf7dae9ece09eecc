import { expect } from 'chai';
import {
  ConnectionEnding,
  ConnectionState,
  type Connection,
} from '../../src/gen/sessionimport/v1/session_connection';
import { toBinary, type ConnectionId } from '../../src/model/ids';
import { endings, failureOf } from '../support/client';
import { Connections, termsWith } from '../support/connection-calls';
import { createTenant, type Tenant } from '../support/fixtures';
import type { Passing } from '../support/mysql-proxy';
import { rowLockWaits, select, type Row } from '../support/rows';
import {
  startHarness,
  startProxiedHarness,
  type Harness,
  type ProxiedHarness,
} from '../support/service';

const { CONNECTION_STATE_PROPOSED, CONNECTION_STATE_ACTIVE, CONNECTION_STATE_ENDED } =
  ConnectionState;
const { CONNECTION_ENDING_ENDED, CONNECTION_ENDING_REPLACED, CONNECTION_ENDING_WITHDRAWN } =
  ConnectionEnding;

/** How often two calls race. */
const rounds = 6;

describe('changes of a connection', () => {
  /** Two processes of the service, of which one reaches MySQL through a proxy. */
  let held: ProxiedHarness;
  let free: Harness;
  let slow: Connections;
  let quick: Connections;
  before(async () => {
    held = await startProxiedHarness();
    free = await startHarness();
    slow = new Connections(held.client);
    quick = new Connections(free.client);
  });
  after(() => Promise.all([held.stop(), free.stop()]));
  afterEach(() => {
    held.proxy.intercept = undefined;
  });

  interface Pair {
    readonly source: Tenant;
    readonly recipient: Tenant;
  }

  const newPair = async (): Promise<Pair> => ({
    source: await createTenant(free.db),
    recipient: await createTenant(free.db),
  });

  let agreements = 0;
  /** Terms that no other proposal has. */
  const newTerms = () => termsWith({ agreement: `a${++agreements}` });

  const proposed = async ({ source, recipient }: Pair): Promise<string> =>
    (await quick.propose(source, 'source', recipient, newTerms())).connectionId;

  const active = async (pair: Pair): Promise<string> => {
    const id = await proposed(pair);
    await quick.accept(pair.recipient, id);
    return id;
  };

  const rowsOf = ({ source, recipient }: Pair): Promise<Row[]> =>
    select(
      'SELECT * FROM session_connections WHERE source_application_id = ? AND recipient_application_id = ?',
      [toBinary(source.applicationId), toBinary(recipient.applicationId)],
    );

  /** Fails the test if the rows of a pair are not what they must always be; `before`: as they were before. */
  async function expectSoundRows(pair: Pair, before: readonly Row[] = []): Promise<void> {
    const rows = await rowsOf(pair);
    const whole = JSON.stringify(rows, undefined, 1);
    expect(rows.filter((row) => row['active'] !== null).length, whole).to.be.at.most(1);
    for (const side of ['source', 'recipient']) {
      const open = rows.filter((row) => row['open'] !== null && row['proposed_by'] === side);
      expect(open.length, whole).to.be.at.most(1);
    }
    for (const row of rows) {
      const { active: holds, open, ended_at: ended, accepted_at: accepted } = row;
      expect([holds, open, ended].filter((value) => value !== null).length, whole).to.equal(1);
      if (holds !== null) expect(accepted, whole).not.to.equal(null);
    }
    const byId = new Map(rows.map((row) => [String(row['id']), row]));
    for (const row of before) {
      if (row['ended_at'] !== null) expect(byId.get(String(row['id']))).to.deep.equal(row);
    }
  }

  /** Lets calls race, many times with the same two applications. */
  async function race(round: (pair: Pair) => Promise<void>): Promise<void> {
    const pair = await newPair();
    for (let number = 0; number < rounds; number++) {
      const before = await rowsOf(pair);
      await round(pair);
      await expectSoundRows(pair, before);
      const { connections } = await quick.list(pair.source, { pageSize: 500 });
      const left = connections.filter(({ state }) => state !== CONNECTION_STATE_ENDED);
      for (const { connectionId } of left) await quick.end(pair.source, connectionId);
    }
  }

  /** The states of connections, as one of the applications sees them. */
  const seen = async (by: Tenant, ids: readonly string[]): Promise<Connection[]> =>
    Promise.all(ids.map((id) => quick.get(by, id)));

  it('leave one proposal open, if one side makes several at once', () =>
    race(async ({ source, recipient }) => {
      const made = await Promise.all(
        [slow, quick, slow].map((process) =>
          process.propose(source, 'source', recipient, newTerms()),
        ),
      );
      const states = (
        await seen(
          recipient,
          made.map(({ connectionId }) => connectionId),
        )
      ).map(({ state, ending }) => [state, ending]);
      expect(states.filter(([state]) => state === CONNECTION_STATE_PROPOSED)).to.have.lengthOf(1);
      expect(
        states.filter(([, ending]) => ending === CONNECTION_ENDING_WITHDRAWN),
      ).to.have.lengthOf(2);
    }));

  it('make one proposal, if one side makes the same one several times at once', () =>
    race(async ({ source, recipient }) => {
      const terms = newTerms();
      const made = await Promise.all(
        [slow, quick, slow, quick].map((process) =>
          process.propose(recipient, 'recipient', source, terms),
        ),
      );
      expect(new Set(made.map(({ connectionId }) => connectionId)).size).to.equal(1);
    }));

  it('make two proposals, if both sides make one at once, and each can be accepted', () =>
    race(async ({ source, recipient }) => {
      const [there, back] = await Promise.all([
        slow.propose(source, 'source', recipient, newTerms()),
        quick.propose(recipient, 'recipient', source, newTerms()),
      ]);
      await quick.accept(recipient, there.connectionId);
      await quick.accept(source, back.connectionId);
    }));

  it('leave one active, if both sides accept at once', () =>
    race(async (pair) => {
      const { source, recipient } = pair;
      const old = await active(pair);
      const there = await proposed(pair);
      const back = await quick.propose(recipient, 'recipient', source, newTerms());
      await Promise.all([
        slow.accept(recipient, there),
        quick.accept(source, back.connectionId),
        quick.accept(recipient, there).catch(() => undefined),
      ]);
      const [first, ...both] = await seen(source, [old, there, back.connectionId]);
      expect(first?.ending).to.equal(CONNECTION_ENDING_REPLACED);
      const [winner] = both.filter(({ state }) => state === CONNECTION_STATE_ACTIVE);
      const [loser] = both.filter(({ state }) => state !== CONNECTION_STATE_ACTIVE);
      expect(loser).to.include({
        ending: CONNECTION_ENDING_REPLACED,
        replacedBy: winner?.connectionId,
      });
      expect(first?.replacedBy).to.equal(loser?.connectionId);
    }));

  it('end a connection, if one side accepts it while the other ends or withdraws it', () =>
    race(async (pair) => {
      const { source, recipient } = pair;
      const id = await proposed(pair);
      const [accepted, ended] = await endings([slow.accept(recipient, id), quick.end(source, id)]);
      expect(ended).to.equal('OK');
      expect(accepted).to.be.oneOf(['OK', 'CONNECTION_ENDED']);
      const { state, ending } = await quick.get(source, id);
      expect([state, ending]).to.deep.equal([
        CONNECTION_STATE_ENDED,
        accepted === 'OK' ? CONNECTION_ENDING_ENDED : CONNECTION_ENDING_WITHDRAWN,
      ]);
    }));

  it('keep what was accepted, if it is withdrawn by other terms at once', () =>
    race(async (pair) => {
      const { source, recipient } = pair;
      const id = await proposed(pair);
      const [accepted, next] = await endings([
        slow.accept(recipient, id),
        quick.propose(source, 'source', recipient, newTerms()),
      ]);
      expect(next).to.equal('OK');
      const { state, ending } = await quick.get(recipient, id);
      expect([accepted, state, ending]).to.be.deep.oneOf([
        ['OK', CONNECTION_STATE_ACTIVE, ConnectionEnding.CONNECTION_ENDING_UNSPECIFIED],
        ['CONNECTION_ENDED', CONNECTION_STATE_ENDED, CONNECTION_ENDING_WITHDRAWN],
      ]);
    }));

  it('end the old connection once, if one side replaces it while the other ends it', () =>
    race(async (pair) => {
      const { source, recipient } = pair;
      const old = await active(pair);
      const next = await proposed(pair);
      const calls = [slow.accept(recipient, next), quick.end(source, old)];
      expect(await endings(calls)).to.deep.equal(['OK', 'OK']);
      const [before, after] = await seen(source, [old, next]);
      expect(after?.state).to.equal(CONNECTION_STATE_ACTIVE);
      expect([before?.ending, before?.replacedBy]).to.be.deep.oneOf([
        [CONNECTION_ENDING_ENDED, undefined],
        [CONNECTION_ENDING_REPLACED, next],
      ]);
    }));

  it('that look for the active one, and are overtaken by its end, do not replace it', async () => {
    const pair = await newPair();
    const old = await active(pair);
    const next = await proposed(pair);
    const { came, letGo } = held.proxy.holdBack(/session_connections.*FOR UPDATE/s);
    const accepting = slow.accept(pair.recipient, next);
    await came;
    const ended = await quick.end(pair.source, old);
    letGo();
    expect((await accepting).state).to.equal(CONNECTION_STATE_ACTIVE);
    expect(await quick.get(pair.source, old)).to.deep.equal(ended);
    await expectSoundRows(pair);
  });

  it('that find none active, and are overtaken by one, replace it', async () => {
    const pair = await newPair();
    const { source, recipient } = pair;
    const there = await proposed(pair);
    const back = await quick.propose(recipient, 'recipient', source, newTerms());
    const { came, letGo } = held.proxy.holdBack(/session_connections.*FOR UPDATE/s);
    const accepting = slow.accept(recipient, there);
    await came;
    await quick.accept(source, back.connectionId);
    letGo();
    expect((await accepting).state).to.equal(CONNECTION_STATE_ACTIVE);
    expect(await quick.get(source, back.connectionId)).to.include({
      ending: CONNECTION_ENDING_REPLACED,
      replacedBy: there,
    });
    await expectSoundRows(pair);
  });

  it('that find no proposal, and are overtaken by one, withdraw it', async () => {
    const pair = await newPair();
    const { source, recipient } = pair;
    const { came, letGo } = held.proxy.holdBack('INSERT INTO session_connections');
    const proposing = slow.propose(source, 'source', recipient, newTerms());
    await came;
    const other = await proposed(pair);
    letGo();
    expect((await proposing).state).to.equal(CONNECTION_STATE_PROPOSED);
    expect((await quick.get(source, other)).ending).to.equal(CONNECTION_ENDING_WITHDRAWN);
    await expectSoundRows(pair);
  });

  it('that accept what is active already do not lock it, so imports need not wait', async () => {
    const pair = await newPair();
    const id = await active(pair);
    const holder = await free.db.transaction();
    await holder('session_connections')
      .where({ id: toBinary(id as ConnectionId) })
      .forUpdate();
    expect((await quick.accept(pair.recipient, id)).state).to.equal(CONNECTION_STATE_ACTIVE);
    await holder.rollback();
  });

  it('that propose, and are overtaken by the last proposal of the day, are refused', async () => {
    const pair = await newPair();
    const { source, recipient } = pair;
    for (let made = 1; made <= 19; made++) await quick.end(source, await proposed(pair));
    const { came, letGo } = held.proxy.holdBack('INSERT INTO session_connections');
    const proposing = slow.propose(source, 'source', recipient, newTerms());
    await came;
    await quick.end(source, await proposed(pair));
    letGo();
    expect((await failureOf(proposing)).reason).to.equal('TOO_MANY_PROPOSALS');
    expect(await rowsOf(pair)).to.have.lengthOf(20);
  });

  describe('whose COMMIT is lost', () => {
    /** Makes a fault at the first COMMIT of a transaction that writes connections. */
    function atCommit(fault: (statement: Passing) => Promise<void> | void): void {
      const writing = new Set<number>();
      let done = false;
      held.proxy.intercept = (statement) => {
        if (/(UPDATE|INSERT INTO) session_connections/.test(statement.sql)) {
          writing.add(statement.connectionId);
        }
        if (done || !statement.sql.startsWith('COMMIT')) return undefined;
        if (!writing.has(statement.connectionId)) return undefined;
        done = true;
        return fault(statement);
      };
    }

    /** Each change, with what it needs, and the states that it leaves. */
    const changes: Readonly<
      Record<string, (pair: Pair) => Promise<() => Promise<readonly [Connection, ConnectionState]>>>
    > = {
      'of a proposal': (pair) => {
        const terms = newTerms();
        return Promise.resolve(async () => [
          await slow.propose(pair.source, 'source', pair.recipient, terms),
          CONNECTION_STATE_PROPOSED,
        ]);
      },
      'of a proposal in place of another one': async (pair) => {
        await proposed(pair);
        const terms = newTerms();
        return async () => [
          await slow.propose(pair.source, 'source', pair.recipient, terms),
          CONNECTION_STATE_PROPOSED,
        ];
      },
      'of an acceptance': async (pair) => {
        await active(pair);
        const id = await proposed(pair);
        return async () => [await slow.accept(pair.recipient, id), CONNECTION_STATE_ACTIVE];
      },
      'of an end': async (pair) => {
        const id = await active(pair);
        return async () => [await slow.end(pair.recipient, id), CONNECTION_STATE_ENDED];
      },
    };
    for (const [title, prepare] of Object.entries(changes)) {
      it(`${title}, are answered once they are made, and made once`, async () => {
        const faults: readonly ((statement: Passing) => Promise<void> | void)[] = [
          (statement) => {
            statement.cut();
          },
          async (statement) => {
            await statement.answered();
            statement.cut();
          },
          (statement) => {
            // It ends while the next try waits for what it holds.
            const finish = statement.orphan();
            void rowLockWaits().then(finish);
          },
        ];
        for (const fault of faults) {
          const pair = await newPair();
          const change = await prepare(pair);
          const before = (await rowsOf(pair)).length;
          let faulty = false;
          atCommit((statement) => {
            faulty = true;
            return fault(statement);
          });
          const [connection, state] = await change();
          held.proxy.intercept = undefined;
          expect(faulty).to.equal(true);
          expect(connection.state).to.equal(state);
          expect(await quick.get(pair.source, connection.connectionId)).to.deep.equal(connection);
          await expectSoundRows(pair);
          const added = title.startsWith('of a proposal') ? 1 : 0;
          expect(await rowsOf(pair)).to.have.lengthOf(before + added);
          // Again, it is the same.
          expect((await change())[0]).to.deep.equal(connection);
        }
      });
    }
  });
});
