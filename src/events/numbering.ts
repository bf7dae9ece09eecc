import { databaseTime } from '../db/clock';
import type { MultiDatabase, TransactionOf } from '../db/database';
import { read, readTogether, write, writeTogether } from '../db/query';
import { inTransaction } from '../db/transaction';
import { groupBy, slicesOf } from '../model/collections';
import { tellings, type RecordedEvent, type ToldEvent } from '../model/events';
import type { ApplicationId } from '../model/ids';
import { addToFeeds, lastSequences, mostEventsOfRow, type NewFeedRow } from '../store/events/feed';
import { eventsWait, markNumbered, waitingEvents } from '../store/events/outbox';
import { planRound, prepareRounds, roundsPrepared, takeRound } from '../store/events/rounds';
import { markExpiryTold, untoldExpiries } from '../store/share-tokens';

/** The most rows of the outbox, and the most expired share tokens, that a round takes. */
const mostOfRound = 100;

/** The most feeds that one statement looks up, and the most rows of feeds that it writes: at most 1.5 MB. */
const feedsAtOnce = 25;

/** The result of a round. `nothing`: there was nothing to do, or another process does it. `more`: more can be done at once. */
export type Round = 'nothing' | 'done' | 'more';

/**
 * Gives numbers to events that wait: moves them from the outbox into the feeds of the applications. It also records
 * which share tokens have expired.
 *
 * An event gets its number after it was committed. One process at a time gives numbers, and commits before the next one
 * begins. So a reader never sees a number before a lower one.
 *
 * @param pause until the next round, in milliseconds, unless there is more to be done.
 */
export async function numberEvents(db: MultiDatabase, pause: number): Promise<Round> {
  const [waits, expired, prepared] = await readTogether(db, [
    eventsWait(),
    untoldExpiries(1),
    roundsPrepared(),
  ]);
  if (!waits && expired.length === 0) return 'nothing';
  if (!prepared) await write(db, prepareRounds());
  return inTransaction(db, async (trx) => {
    if (!(await read(trx, takeRound()))) return 'nothing';
    const [rows, ended, now] = await readTogether(trx, [
      waitingEvents(mostOfRound),
      untoldExpiries(mostOfRound),
      databaseTime(),
    ]);
    const expiries = ended.flatMap(({ event }) => event ?? []);
    await addAll(trx, [...rows.flatMap(({ events }) => events), ...expiries], now);
    const more = rows.length === mostOfRound || ended.length === mostOfRound;
    await writeTogether(trx, [
      ...(rows.length > 0 ? [markNumbered(rows.map(({ id }) => id))] : []),
      ...(ended.length > 0 ? [markExpiryTold(ended.map(({ id }) => id))] : []),
      planRound(more ? 0 : pause),
    ]);
    return more ? 'more' : 'done';
  });
}

/** Adds events to the feeds of the applications that are told, in their order. */
async function addAll(
  trx: TransactionOf<MultiDatabase>,
  events: readonly RecordedEvent[],
  now: Date,
): Promise<void> {
  const feeds = groupBy(events.flatMap(tellings), ({ application }) => application);
  for (const some of slicesOf([...feeds], feedsAtOnce)) {
    const last = await read(trx, lastSequences(some.map(([id]) => id)));
    const rows = some.flatMap(([id, told]) => {
      const ofFeed = told.map(({ event }) => event);
      return feedRows(id, ofFeed, last.get(id) ?? 0);
    });
    for (const together of slicesOf(rows, feedsAtOnce)) await write(trx, addToFeeds(together, now));
  }
}

/** @param last the number of the newest event of the feed. */
function feedRows(
  applicationId: ApplicationId,
  events: readonly ToldEvent[],
  last: number,
): NewFeedRow[] {
  const rows: NewFeedRow[] = [];
  for (let done = 0; done < events.length; done += mostEventsOfRow) {
    const some = events.slice(done, done + mostEventsOfRow);
    rows.push({ applicationId, events: some, lastSequence: last + done + some.length });
  }
  return rows;
}
