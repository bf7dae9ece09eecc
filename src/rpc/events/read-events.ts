import type { TextDatabase } from '../../db/database';
import { readTogether } from '../../db/query';
import type { SequencedEvent } from '../../model/events';
import { ServiceError } from '../../model/problems';
import { feedParts, lastSequences, type FeedPlace } from '../../store/events/feed';
import { readSurely } from '../../store/surely';

/** The most rows of a feed that are read for a page, so that it costs little. A row has up to `mostEventsOfRow` events. */
const rowsOfPage = 20;

/** A page of events. */
export interface EventPage {
  /** What follows the cursor, without gaps. */
  readonly events: readonly SequencedEvent[];
  /** The number of the newest event of the feed; 0: there is none. */
  readonly lastSequence: number;
}

/**
 * Reads the events that follow a place of a feed: at least one, if there are any.
 *
 * @param size the most events.
 * @throws ServiceError with EVENT_CURSOR_EXPIRED or EVENT_CURSOR_AHEAD
 */
export async function readEvents(
  db: TextDatabase,
  place: FeedPlace,
  size: number,
): Promise<EventPage> {
  const { applicationId, after } = place;
  const [parts, last] = await readSurely(
    db,
    (from) =>
      readTogether(from, [
        feedParts([place], Math.min(size, rowsOfPage)),
        lastSequences([applicationId]),
      ]),
    ([, found]) => (found.get(applicationId) ?? 0) < after,
  );
  const lastSequence = last.get(applicationId) ?? 0;
  if (lastSequence < after) throw new ServiceError({ reason: 'EVENT_CURSOR_AHEAD', lastSequence });
  const part = parts.get(applicationId);
  if (part && part.after > after) {
    throw new ServiceError({ reason: 'EVENT_CURSOR_EXPIRED', oldestAfter: part.after });
  }
  return { events: part?.events.slice(0, size) ?? [], lastSequence };
}
