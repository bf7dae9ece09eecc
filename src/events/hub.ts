import { setMaxListeners } from 'node:events';
import type { MultiDatabase } from '../db/database';
import { read } from '../db/query';
import { groupBy, slicesOf } from '../model/collections';
import type { SequencedEvent } from '../model/events';
import type { ApplicationId } from '../model/ids';
import { feedParts, lastSequences, type FeedPart, type FeedPlace } from '../store/events/feed';

/** The most feeds that one statement looks at, and the most rows that it returns of each. */
const feedsAtOnce = 100;
const rowsOfFeed = 4;

/** How long a stream waits for new events at most, in milliseconds. Then it checks its caller again. */
const longestWait = 5_000;

/** What a stream that waits is given. */
export interface News {
  /** What follows the cursor, without gaps; empty: nothing yet. */
  readonly events: readonly SequencedEvent[];
  /** Whether the stream has to read by itself what follows `events`. */
  readonly more: boolean;
}

interface Waiting extends FeedPlace {
  /** When it ends without news, by `performance.now()`. */
  readonly until: number;
  readonly tell: (news: News) => void;
}

/**
 * Looks for new events on behalf of all streams of a process: once per interval, however many streams there are. It
 * keeps no events: a stream that is busy sending does not wait here, and reads by itself what it has missed.
 */
export class EventHub {
  private readonly waiting = new Set<Waiting>();
  private readonly stopping = new AbortController();

  /** @param db has a connection that nobody else uses. */
  constructor(private readonly db: MultiDatabase) {
    // Every stream listens. Node.js takes more than ten listeners for a leak.
    setMaxListeners(0, this.closed);
  }

  /** Fires when the service stops: then all streams have to end. */
  get closed(): AbortSignal {
    return this.stopping.signal;
  }

  close(): void {
    this.stopping.abort();
    this.endWaiting(() => true);
  }

  /**
   * Waits until something follows a place of a feed, but not for longer than five seconds.
   *
   * @param signal ends the waiting.
   */
  news(place: FeedPlace, signal: AbortSignal): Promise<News> {
    return new Promise((resolve) => {
      const giveUp = (): void => {
        waiting.tell(nothingNew);
      };
      const waiting: Waiting = {
        ...place,
        until: performance.now() + longestWait,
        tell: (news) => {
          this.waiting.delete(waiting);
          signal.removeEventListener('abort', giveUp);
          resolve(news);
        },
      };
      if (signal.aborted || this.closed.aborted) {
        resolve(nothingNew);
        return;
      }
      signal.addEventListener('abort', giveUp, { once: true });
      this.waiting.add(waiting);
    });
  }

  /** Looks for new events, for all that wait, and ends the waiting of those that have waited for long. */
  async look(): Promise<void> {
    try {
      const places = [...this.firstPlaces()];
      for (const some of slicesOf(places, feedsAtOnce)) {
        this.tell(await read(this.db, feedParts(some, rowsOfFeed)));
      }
      await this.findThoseAhead();
    } finally {
      this.endWaiting(isOver());
    }
  }

  /**
   * Of those that have waited for long, sends away the ones whose cursor is ahead of their feed: the database was
   * restored from a backup. They find that out when they read by themselves.
   */
  private async findThoseAhead(): Promise<void> {
    const ending = groupBy(
      [...this.waiting].filter(isOver()),
      ({ applicationId }) => applicationId,
    );
    for (const some of slicesOf([...ending], feedsAtOnce)) {
      const last = await read(this.db, lastSequences(some.map(([id]) => id)));
      for (const [id, ofFeed] of some) {
        for (const { after, tell } of ofFeed) {
          if (after > (last.get(id) ?? 0)) tell({ events: [], more: true });
        }
      }
    }
  }

  /** For each feed for which somebody waits, the first of their places. */
  private firstPlaces(): Iterable<FeedPlace> {
    const first = new Map<ApplicationId, FeedPlace>();
    for (const { applicationId, after } of this.waiting) {
      const known = first.get(applicationId);
      if (!known || after < known.after) first.set(applicationId, { applicationId, after });
    }
    return first.values();
  }

  private tell(parts: ReadonlyMap<ApplicationId, FeedPart>): void {
    for (const { applicationId, after, tell } of [...this.waiting]) {
      const part = parts.get(applicationId);
      if (!part) continue;
      const events = part.events.filter(({ sequence }) => sequence > after);
      // If events were deleted meanwhile, the stream finds that out when it reads by itself.
      const whole = events[0]?.sequence === after + 1;
      if (whole) tell({ events, more: part.full });
      else if (part.full || events.length > 0) tell({ events: [], more: true });
    }
  }

  private endWaiting(over: (waiting: Waiting) => boolean): void {
    for (const waiting of [...this.waiting]) if (over(waiting)) waiting.tell(nothingNew);
  }
}

const nothingNew: News = { events: [], more: false };

/** Tells of each that waits whether it has waited for long. */
function isOver(): (waiting: Waiting) => boolean {
  const now = performance.now();
  return ({ until }) => until <= now;
}
