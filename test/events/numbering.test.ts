import { expect } from 'chai';
import { openMultiDatabase } from '../../src/db/connection';
import type { Database, MultiDatabase } from '../../src/db/database';
import { read, write } from '../../src/db/query';
import { numberEvents } from '../../src/events/numbering';
import { newEvent, type RecordedEvent } from '../../src/model/events';
import { newId, toBinary, type ApplicationId } from '../../src/model/ids';
import { feedParts, lastSequences } from '../../src/store/events/feed';
import { recordEvents, waitingEvents, type OutboxId } from '../../src/store/events/outbox';
import { planRound } from '../../src/store/events/rounds';
import { eventually } from '../support/helpers';
import { createMigratedDatabase, open } from '../support/mysql';
import { MysqlProxy } from '../support/mysql-proxy';
import { countingSteps } from '../support/rows';

/** An event that is told to one application. */
const eventOf = (application: ApplicationId): RecordedEvent =>
  newEvent('session_erased', new Date(), { owner: { application } });

describe('the numbering of events', () => {
  let url: string;
  let db: MultiDatabase;
  let plain: Database;
  let application: ApplicationId;
  before(async () => {
    url = await createMigratedDatabase();
    db = openMultiDatabase({ url, poolSize: 4, lockWaitSeconds: 10 });
    plain = open(url);
  });
  beforeEach(async () => {
    application = newId();
    await write(db, planRound(0));
  });
  after(async () => {
    await db.destroy();
    await plain.destroy();
  });

  const round = (on: MultiDatabase = db) => numberEvents(on, 0);
  const record = async (...events: readonly RecordedEvent[]): Promise<void> => {
    await write(db, recordEvents(newId(), events));
  };
  const feed = async (): Promise<{ readonly id: string; readonly sequence: number }[]> => {
    const parts = await read(db, feedParts([{ applicationId: application, after: 0 }], 1_000));
    return [...(parts.get(application)?.events ?? [])].map(({ id, sequence }) => ({
      id,
      sequence,
    }));
  };
  const numbered = (events: readonly RecordedEvent[]) =>
    events.map(({ id }, index) => ({ id, sequence: index + 1 }));

  it('does nothing if there is nothing to number', async () => {
    expect(await round()).to.equal('nothing');
  });

  it('keeps the order of what was recorded by processes whose clocks differ', async () => {
    const [first, second] = [eventOf(application), eventOf(application)];
    await write(db, recordEvents('ffffffff-ffff-7fff-bfff-ffffffffffff' as OutboxId, [first]));
    await record(second);
    expect(await round()).to.equal('done');
    expect(await feed()).to.deep.equal(numbered([first, second]));
  });

  it('keeps the order of what was recorded, whatever is recorded together', async () => {
    const events = Array.from({ length: 230 }, () => eventOf(application));
    await record(...events.slice(0, 1));
    await record(...events.slice(1, 220));
    expect(await round()).to.equal('done');
    await record(...events.slice(220));
    expect(await round()).to.equal('done');
    expect(await feed()).to.deep.equal(numbered(events));
    const rows = await plain('session_events').where({ application_id: toBinary(application) });
    expect(rows).to.have.length(4);
  });

  it('takes a bounded part at a time, and tells that there is more', async () => {
    const events = Array.from({ length: 130 }, () => eventOf(application));
    for (const event of events) await record(event);
    expect(await round()).to.equal('more');
    expect(await round()).to.equal('done');
    expect(await feed()).to.deep.equal(numbered(events));
  });

  it('gives each of many applications numbers of its own', async () => {
    const applications = Array.from({ length: 120 }, () => newId<ApplicationId>());
    for (let times = 0; times < 2; times++) await record(...applications.map(eventOf));
    await round();
    expect([...(await read(db, lastSequences(applications)))].sort()).to.deep.equal(
      applications.map((id) => [id, 2] as const).sort(),
    );
  });

  it('numbers what is committed late after what was committed before, without a gap', async () => {
    const [late, early] = [eventOf(application), eventOf(application)];
    const id = newId();
    await db.transaction(async (trx) => {
      // The id is older than that of the event which is committed first.
      await write(trx, recordEvents(id, [late]));
      await record(early);
      await round();
      expect(await feed()).to.deep.equal(numbered([early]));
    });
    await round();
    expect(await feed()).to.deep.equal(numbered([early, late]));
  });

  it('numbers nothing of a transaction that is rolled back', async () => {
    const trx = await db.transaction();
    await write(trx, recordEvents(newId(), [eventOf(application)]));
    await trx.rollback();
    expect(await round()).to.equal('nothing');
    expect(await feed()).to.deep.equal([]);
  });

  it('records nothing twice if a transaction is tried again after its events were numbered', async () => {
    const id = newId();
    const event = eventOf(application);
    await write(db, recordEvents(id, [event]));
    await round();
    await write(db, recordEvents(id, [event]));
    expect(await round()).to.equal('nothing');
    expect(await feed()).to.deep.equal(numbered([event]));
  });

  it('is done by one at a time, and the next one goes on when the first is killed in the middle', async () => {
    const proxy = await MysqlProxy.open(url);
    const mortal = openMultiDatabase({ url: proxy.url, poolSize: 1, lockWaitSeconds: 10 });
    try {
      const events = [eventOf(application), eventOf(application)];
      await record(...events);
      for (const statement of [
        'event_outbox FORCE',
        'ORDER BY application_id DESC',
        'INSERT INTO session_events',
        'UPDATE event_outbox',
      ]) {
        const { came, letGo } = proxy.holdBack(statement);
        const first = round(mortal).catch((error: unknown) => error);
        const { connectionId } = await came;
        expect(await round()).to.equal('nothing');
        await plain.raw(`KILL ${connectionId}`);
        letGo();
        expect(await first).to.be.instanceOf(Error);
        expect(await feed()).to.deep.equal([]);
      }
      const { came, letGo } = proxy.holdBack(/^COMMIT/);
      const last = round(mortal).catch((error: unknown) => error);
      const commit = await came;
      expect(await round()).to.equal('nothing');
      await commit.answered();
      commit.cut();
      letGo();
      expect(await last).to.be.instanceOf(Error);
      // It was committed, although nobody was told.
      expect(await feed()).to.deep.equal(numbered(events));
      expect(await round()).to.equal('nothing');
    } finally {
      await mortal.destroy();
      proxy.close();
    }
  });

  it('goes on when the machine of the first is lost in the middle, once MySQL has given it up', async () => {
    const proxy = await MysqlProxy.open(url);
    const lost = openMultiDatabase({
      ...{ url: proxy.url, poolSize: 1, lockWaitSeconds: 10 },
      // In the service, this is a minute.
      idleSeconds: 1,
    });
    try {
      const event = eventOf(application);
      await record(event);
      const held = proxy.holdBack('INSERT INTO session_events');
      const first = round(lost).catch((error: unknown) => error);
      const statement = await held.came;
      // MySQL sees no end of the connection.
      statement.orphan();
      expect(await round()).to.equal('nothing');
      expect(await first).to.be.instanceOf(Error);
      await eventually(async () => (await round()) === 'done');
      held.letGo();
      expect(await feed()).to.deep.equal(numbered([event]));
    } finally {
      await lost.destroy();
      proxy.close();
    }
  });

  it('by many at once numbers each event once', async () => {
    const events = Array.from({ length: 60 }, () => eventOf(application));
    const rounds: Promise<unknown>[] = [];
    for (const event of events) {
      await record(event);
      rounds.push(...Array.from({ length: 4 }, () => round()));
    }
    await Promise.all(rounds);
    await round();
    expect(await feed()).to.deep.equal(numbered(events));
    expect(await read(db, waitingEvents(10))).to.deep.equal([]);
  });

  it('waits for the time of the next round, unless that is absurdly far ahead', async () => {
    await write(db, planRound(50_000));
    await record(eventOf(application));
    expect(await round()).to.equal('nothing');
    // The server's clock was set back by an hour.
    await write(db, planRound(3_600_000));
    expect(await round()).to.equal('done');
    expect(await feed()).to.have.length(1);
  });

  it('goes on if the row that stands for the rounds is lost', async () => {
    await record(eventOf(application));
    await plain('event_rounds').delete();
    expect(await round()).to.equal('done');
    expect(await feed()).to.have.length(1);
  });

  it('finds the newest numbers without reading the feeds', async () => {
    const applications = Array.from({ length: 20 }, () => newId<ApplicationId>());
    for (let times = 0; times < 10; times++) {
      await record(...applications.map(eventOf));
      await round();
    }
    const { rows } = await countingSteps(applications.length, () =>
      read(db, lastSequences(applications)),
    );
    expect(rows).to.be.below(applications.length);
  });
});
