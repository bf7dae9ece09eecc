import { read, write } from '../db/query';
import {
  deleteFromFeed,
  nextFeed,
  oldestOfFeed,
  type FeedPlace,
  type FeedRowKey,
} from '../store/events/feed';
import { deleteNumbered } from '../store/events/outbox';
import type { ApplicationId } from '../model/ids';
import { breathe, inBatches, type PruneRun } from './run';

/**
 * How long a row of the outbox is kept once its events have their numbers, in milliseconds: an hour. A transaction that
 * is tried again finds it, and records nothing twice.
 */
const keptInOutbox = 3_600_000;

/** Deletes what is left in the outbox of events that have their numbers. */
export async function emptyOutbox(run: PruneRun): Promise<void> {
  const before = new Date(run.now.getTime() - keptInOutbox);
  await inBatches(run, undefined, (most) => deleteNumbered(before, most));
}

/** Deletes the events that were numbered before a moment, feed by feed. */
export async function deleteOldEvents(run: PruneRun, before: Date): Promise<void> {
  const { db, retry, tally, signal } = run;
  for await (const { applicationId, rows, last } of oldEventPages(run, before)) {
    if (signal.aborted) return;
    await retry(() => write(db, deleteFromFeed(applicationId, last)));
    tally.events += rows;
    await breathe(run);
  }
}

/** Rows of a feed that are old enough to be deleted. */
interface OldEvents {
  readonly applicationId: ApplicationId;
  /** How many there are: at least one. */
  readonly rows: number;
  /** The number of the last event in them. */
  readonly last: number;
}

/**
 * The rows of feeds that were made before a moment, page by page, the oldest of each feed first. The newest row of a
 * feed is never among them: it says which number comes next.
 */
export async function* oldEventPages(
  { db, retry, settings }: PruneRun,
  before: Date,
): AsyncGenerator<OldEvents> {
  const next = (after?: ApplicationId) => retry(() => read(db, nextFeed(after)));
  for (let feed = await next(); feed !== undefined; feed = await next(feed)) {
    let place: FeedPlace | undefined = { applicationId: feed, after: 0 };
    while (place) {
      const found = await oldestRows(place);
      // Clocks can go back: what comes after a row that is kept is kept as well.
      const young = found.findIndex(({ createdAt }) => createdAt >= before);
      const old = found.slice(0, -1).slice(0, young === -1 ? undefined : young);
      const last = old.at(-1)?.lastSequence;
      if (last !== undefined) yield { applicationId: feed, rows: old.length, last };
      const more = last !== undefined && old.length === settings.batch;
      place = more ? { applicationId: feed, after: last } : undefined;
    }
  }

  function oldestRows(place: FeedPlace): Promise<FeedRowKey[]> {
    return retry(() => read(db, oldestOfFeed(place, settings.batch + 1)));
  }
}
