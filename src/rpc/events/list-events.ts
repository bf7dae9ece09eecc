import { z } from 'zod';
import type {
  ListEventsRequest,
  ListEventsResponse,
} from '../../gen/sessionimport/v1/session_events';
import type { Caller } from '../call/callers';
import { pageSizeOf } from '../call/page-tokens';
import { checkRequest } from '../call/request';
import type { HandlerContext } from '../context';
import { readEvents } from './read-events';
import { wireEvent } from './wire';

/** The rule for a cursor. A larger number than JavaScript has becomes the largest one: see `strictRequests`. */
export const cursorSchema = z.object({
  after: z
    .number()
    .min(0, 'must not be negative')
    .lt(Number.MAX_SAFE_INTEGER, 'must be the sequence of an event, or 0'),
});

/** Lists events of the caller's application. */
export async function listEvents(
  request: ListEventsRequest,
  { applicationId }: Caller,
  { onDatabase, annotate }: HandlerContext,
): Promise<ListEventsResponse> {
  const { after } = checkRequest(cursorSchema, { after: request.after });
  const size = pageSizeOf(request.pageSize);
  const { events, lastSequence } = await onDatabase((db) =>
    readEvents(db, { applicationId, after }, size),
  );
  annotate({ after, listed: events.length });
  return { events: events.map(wireEvent), lastSequence };
}
