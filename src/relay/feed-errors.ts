import { status, type ServiceError } from '@grpc/grpc-js';
import { errorDetails } from '../client';
import { noTlsHint } from '../model/no-tls';

/** The cursor does not fit the feed, so that a person has to say where to go on. */
export class CursorUnusable extends Error {
  override readonly name = 'CursorUnusable';
}

/** The feed can't be read now. The message says why. */
export class FeedFailure extends Error {
  override readonly name = 'FeedFailure';

  constructor(
    message: string,
    /** The reason of the service, or the code of gRPC; undefined: the error is neither's. */
    readonly reason?: string,
    /** How long to wait at least, in milliseconds; undefined: the service does not say. */
    readonly retryDelay?: number,
  ) {
    super(message);
  }
}

/** Where a feed that is not the one that was delivered may come from, and what to do first. */
const check =
  "The API key may be that of another application: then give the right one. Or the database was restored from a backup: then compare the receiver's records with the list calls";

/**
 * What has gone wrong while a feed was read.
 *
 * @param after the number of the last event that was delivered.
 * @param apiKey what the message must not repeat, whatever the other side says; empty: no key was sent.
 */
export function feedError(error: unknown, after: number, apiKey: string): Error {
  if (error instanceof CursorUnusable) return error;
  const { reason, metadata, retryDelay } = errorDetails(error) ?? {};
  if (reason === 'EVENT_CURSOR_EXPIRED') {
    return new CursorUnusable(
      `events after ${after} have been deleted from the feed before they were delivered. Compare the receiver's records with the list calls, and go on with the oldest events that are left: --after ${metadata?.['oldest_after']}`,
    );
  }
  if (reason === 'EVENT_CURSOR_AHEAD') {
    const last = metadata?.['last_sequence'];
    return new CursorUnusable(
      `the cursor is ${after}, but the newest event of the feed is ${last}. ${check}, and go on with --after ${last}`,
    );
  }
  const { code, details, message } = error as Error & Partial<ServiceError>;
  const told = details ?? message;
  const why = noTlsHint(told) ?? told;
  return new FeedFailure(
    apiKey === '' ? why : why.replaceAll(apiKey, '(the API key)'),
    reason ?? status[code ?? -1],
    retryDelay,
  );
}

/** The event of the cursor is not the one that was delivered. */
export function otherFeed(after: number): CursorUnusable {
  return new CursorUnusable(
    `event ${after} of the feed is not the one that was delivered as ${after}. ${check}, and say with --after where to go on; with --after 0, everything is delivered again`,
  );
}
