import { expect } from 'chai';
import { openMultiDatabase } from '../../src/db/connection';
import type { Database, MultiDatabase } from '../../src/db/database';
import { read, write } from '../../src/db/query';
import { numberEvents } from '../../src/events/numbering';
import { newEvent } from '../../src/model/events';
import { newId, toBinary, type ApplicationId } from '../../src/model/ids';
import { countWork, prune } from '../../src/prune/prune';
import { emptyTally, type PruneTally } from '../../src/prune/run';
import { feedParts } from '../../src/store/events/feed';
import { recordEvents } from '../../src/store/events/outbox';
import { planRound } from '../../src/store/events/rounds';
import { createMigratedDatabase, createPruneUser, open } from '../support/mysql';
import { runOf } from '../support/pruning';

const day = 86_400_000;

describe('old events', () => {
  let db: MultiDatabase;
  let plain: Database;
  let job: MultiDatabase;
  before(async () => {
    const url = await createMigratedDatabase();
    db = openMultiDatabase({ url, poolSize: 2, lockWaitSeconds: 10 });
    plain = open(url);
    const address = await createPruneUser(plain, url);
    job = openMultiDatabase({ url: address, poolSize: 2, lockWaitSeconds: 10 });
  });
  beforeEach(async () => {
    await plain('session_events').delete();
    await plain('event_outbox').delete();
  });
  after(async () => {
    await Promise.all([db, plain, job].map((each) => each.destroy()));
  });

  /** Numbers an event of each application, in a round of its own, so many days ago. */
  const happened = async (daysAgo: number, ...applications: ApplicationId[]): Promise<void> => {
    const at = new Date(Date.now() - daysAgo * day);
    const events = applications.map((application) =>
      newEvent('session_erased', at, { owner: { application } }),
    );
    await write(db, recordEvents(newId(), events));
    await write(db, planRound(0));
    await numberEvents(db, 0);
    for (const application of applications) {
      await plain.raw(
        'UPDATE session_events SET created_at = ? WHERE application_id = ? ORDER BY last_sequence DESC LIMIT 1',
        [at, toBinary(application)],
      );
    }
  };

  const left = async (application: ApplicationId): Promise<number[]> => {
    const parts = await read(db, feedParts([{ applicationId: application, after: 0 }], 100));
    return (parts.get(application)?.events ?? []).map(({ sequence }) => sequence);
  };

  const run = async (
    work: typeof prune,
    daysAgo: number | undefined,
    batch = 500,
  ): Promise<PruneTally> => {
    const tally = emptyTally();
    const eventsBefore = daysAgo === undefined ? undefined : new Date(Date.now() - daysAgo * day);
    await work(runOf(job, { eventsBefore, batch }, { tally }));
    return tally;
  };

  for (const batch of [1, 2, 3, 500]) {
    it(`are deleted feed by feed, ${batch} rows at a time, and those that are left keep their numbers`, async () => {
      const [busy, quiet, gone] = [
        newId<ApplicationId>(),
        newId<ApplicationId>(),
        newId<ApplicationId>(),
      ];
      for (const daysAgo of [9, 8, 7, 6]) await happened(daysAgo, busy, gone);
      await happened(9, quiet);
      for (const daysAgo of [2, 1]) await happened(daysAgo, busy);
      expect(await run(countWork, 5, batch)).to.include({ events: 7 });
      expect(await run(prune, 5, batch)).to.include({ events: 7 });
      // The newest row of each feed stays, however old it is: it says which number comes next.
      expect(await left(busy)).to.deep.equal([5, 6]);
      expect(await left(gone)).to.deep.equal([4]);
      expect(await left(quiet)).to.deep.equal([1]);
      await happened(0, quiet, gone);
      expect(await left(quiet)).to.deep.equal([1, 2]);
      expect(await left(gone)).to.deep.equal([4, 5]);
      expect(await run(prune, 5, batch)).to.include({ events: 2 });
    });
  }

  it('stay if no option says that they are old', async () => {
    const application = newId<ApplicationId>();
    for (const daysAgo of [900, 800]) await happened(daysAgo, application);
    expect(await run(prune, undefined)).to.include({ events: 0 });
    expect(await left(application)).to.deep.equal([1, 2]);
  });

  it('leave nothing behind in the outbox after an hour, but those that wait for their numbers', async () => {
    await happened(0, newId());
    await write(db, recordEvents(newId(), []));
    const old = Buffer.alloc(6);
    const rows = await plain<{ id: Buffer }>('event_outbox').select('id');
    await run(prune, undefined);
    expect(await plain('event_outbox')).to.have.length(2);
    for (const { id } of rows)
      await plain('event_outbox')
        .where({ id })
        .update({ id: Buffer.concat([old, id.subarray(6)]) });
    await run(prune, undefined, 1);
    expect(await plain('event_outbox').select('numbered')).to.deep.equal([{ numbered: 0 }]);
  });
});
