import type {
  WatchEventsRequest,
  WatchEventsResponse,
} from '../../gen/sessionimport/v1/session_events';
import type { News } from '../../events/hub';
import type { SequencedEvent } from '../../model/events';
import { CallAbandoned } from '../../model/problems';
import type { FeedPlace } from '../../store/events/feed';
import type { Caller } from '../call/callers';
import { checkRequest } from '../call/request';
import type { StreamContext } from '../call/stream';
import { cursorSchema } from './list-events';
import { readEvents } from './read-events';
import { wireEvent } from './wire';

/** How many events are read at a time, by a stream that is behind. */
const pageSize = 100;

/**
 * Sends the events of the caller's application, and then every new one, until the call or the service ends.
 *
 * A stream that is behind reads pages by itself. One that has sent everything waits for the hub, which looks for all.
 */
export async function watchEvents(
  request: WatchEventsRequest,
  { applicationId }: Caller,
  context: StreamContext<WatchEventsResponse>,
): Promise<void> {
  const { after } = checkRequest(cursorSchema, { after: request.after });
  const { watches, events: hub, annotate, onDatabase, accept, checkAgain, send } = context;
  const leave = watches.enter(applicationId);
  // Not AbortSignal.any: Node.js 20 would keep something of every stream for as long as the hub lives.
  const ending = new AbortController();
  const end = (): void => {
    ending.abort();
  };
  const { signal } = ending;
  for (const each of [context.signal, hub.closed]) {
    each.addEventListener('abort', end);
    if (each.aborted) end();
  }
  let sent = after;
  const sendAll = async (events: readonly SequencedEvent[]): Promise<void> => {
    for (const event of events) {
      await send({ event: wireEvent(event) }, signal);
      sent = event.sequence;
    }
  };
  const readOn = async (place: FeedPlace): Promise<News> => {
    const { events, lastSequence } = await onDatabase((db) => readEvents(db, place, pageSize));
    return { events, more: (events.at(-1)?.sequence ?? place.after) < lastSequence };
  };
  try {
    let news = await readOn({ applicationId, after });
    accept();
    while (!signal.aborted) {
      // Between two pages as well: a slow reader may have been at the first one for hours.
      await checkAgain();
      await sendAll(news.events);
      const place = { applicationId, after: sent };
      news = news.more ? await readOn(place) : await hub.news(place, signal);
    }
    context.signal.throwIfAborted();
  } catch (error) {
    // A service that stops ends its streams well, so that their callers go on elsewhere.
    if (!hub.closed.aborted) throw context.signal.aborted ? new CallAbandoned() : error;
  } finally {
    leave();
    hub.closed.removeEventListener('abort', end);
    annotate({ after, sent });
  }
}
