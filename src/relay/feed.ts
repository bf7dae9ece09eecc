import {
  Metadata,
  type ChannelCredentials,
  type ClientOptions,
  type ClientReadableStream,
} from '@grpc/grpc-js';
import { errorDetails } from '../client';
import { readSmallFile } from '../files/small-file';
import {
  SessionEventsClient,
  type ListEventsRequest,
  type SessionEvent,
  type WatchEventsResponse,
} from '../gen/sessionimport/v1/session_events';
import { isUuid } from '../model/ids';
import type { Cursor } from './cursor-file';
import { feedError, otherFeed } from './feed-errors';

/** How long the service may take to answer, in milliseconds, unless a relay is told otherwise. */
const usualTimeout = 45_000;

/**
 * After a pause of so many milliseconds, the feed is compared again. The database may have been replaced by a replica
 * that lacks the last events, without an end of the stream. Such a replacement takes longer than this.
 */
const quiet = 1_000;

const clientOptions: ClientOptions = {
  // A stream may have nothing to say for days: so a connection that is lost is noticed.
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 10_000,
  // gRPC itself would retry for half a minute before it reports an error.
  'grpc.enable_retries': 0,
};

/** How the service is called. */
export interface FeedService {
  readonly address: string;
  /** Makes the credentials of a connection. */
  readonly credentials: () => ChannelCredentials;
  readonly apiKeyFile: string;
  /** How long it may take to answer a call, or to accept a stream, in milliseconds; 45 seconds if absent. */
  readonly timeout?: number;
}

/** A connection to the service. */
interface Connection {
  readonly client: SessionEventsClient;
  readonly metadata: Metadata;
  readonly timeout: number;
  readonly signal: AbortSignal;
}

/**
 * Reads the API key.
 *
 * @throws Error if the file holds none. The message does not quote the file.
 */
export async function readApiKey(file: string): Promise<string> {
  const key = (await readSmallFile(file)).trim();
  // If gRPC can't send a key, it puts the key into its error message.
  if (!/^[\x21-\x7e]+$/.test(key))
    throw new Error(`${file} must hold an API key, and nothing else`);
  return key;
}

/**
 * Reads the events after a cursor, in their order, over a connection of its own. The API key and the files of TLS are
 * read again, so that this uses the current ones.
 *
 * @param signal ends the stream.
 * @param accepted is called when the service has accepted the stream.
 * @throws CursorUnusable if the feed does not fit the cursor.
 * @throws FeedFailure if a file can't be read, the service can't be called, or the stream breaks off.
 */
export async function* eventsAfter(
  cursor: Cursor,
  { address, credentials, apiKeyFile, timeout = usualTimeout }: FeedService,
  signal: AbortSignal,
  accepted: () => void,
): AsyncGenerator<SessionEvent, void> {
  let client: SessionEventsClient | undefined;
  let apiKey = '';
  let at = cursor;
  try {
    apiKey = await readApiKey(apiKeyFile);
    const metadata = new Metadata();
    metadata.set('x-api-key', apiKey);
    client = new SessionEventsClient(address, credentials(), clientOptions);
    const connection = { client, metadata, timeout, signal };
    await requireSameFeed(connection, at);
    const stream = client.watchEvents({ after: at.after }, metadata);
    whenAccepted(stream, timeout, accepted);
    let waitingSince = performance.now();
    for await (const { event } of messagesOf(stream, signal)) {
      // Protobuf may decode the messages of another service without an error.
      if (event?.sequence !== at.after + 1 || !isUuid(event.eventId)) {
        throw new Error(`the service has not sent the event that follows event ${at.after}`);
      }
      if (performance.now() - waitingSince > quiet) await requireSameFeed(connection, at);
      yield event;
      at = { after: event.sequence, event_id: event.eventId };
      waitingSince = performance.now();
    }
  } catch (error) {
    throw feedError(error, at.after, apiKey);
  } finally {
    client?.close();
  }
}

/**
 * Waits for the header of a stream, which the service sends when it has accepted the stream. Without that, a service
 * that hangs would look like one that has no new events. If the header does not come in time, the stream fails.
 */
function whenAccepted(
  stream: ClientReadableStream<WatchEventsResponse>,
  timeout: number,
  accepted: () => void,
): void {
  const late = setTimeout(() => {
    stream.destroy(new Error(`no answer within ${timeout / 1_000} seconds`));
  }, timeout);
  stream.once('metadata', () => {
    clearTimeout(late);
    accepted();
  });
  stream.once('close', () => {
    clearTimeout(late);
  });
}

async function* messagesOf(
  stream: ClientReadableStream<WatchEventsResponse>,
  signal: AbortSignal,
): AsyncGenerator<WatchEventsResponse, void> {
  const cancel = (): void => {
    stream.cancel();
  };
  // A stream that is cancelled after its last message was read also emits an error.
  stream.on('error', () => undefined);
  signal.addEventListener('abort', cancel);
  if (signal.aborted) cancel();
  try {
    yield* stream as AsyncIterable<WatchEventsResponse>;
  } finally {
    signal.removeEventListener('abort', cancel);
    cancel();
  }
}

/**
 * Requires that the event of the cursor is the one that was delivered. It is not if the API key is that of another
 * application, or the database was restored from a backup. If the event has been deleted, nobody can tell.
 */
async function requireSameFeed(
  connection: Connection,
  { after, event_id: id }: Cursor,
): Promise<void> {
  if (id === undefined || connection.signal.aborted) return;
  const [event] = await listEvents(connection, { after: Math.max(0, after - 1), pageSize: 1 });
  if (event?.sequence === after && event.eventId !== id) throw otherFeed(after);
}

/** Events after a cursor; none if the next one has been deleted. */
function listEvents(
  { client, metadata, timeout, signal }: Connection,
  request: ListEventsRequest,
): Promise<readonly SessionEvent[]> {
  return new Promise((resolve, reject) => {
    const options = { deadline: Date.now() + timeout };
    const call = client.listEvents(request, metadata, options, (error, response) => {
      signal.removeEventListener('abort', cancel);
      if (!error) resolve(response.events);
      else if (errorDetails(error)?.reason === 'EVENT_CURSOR_EXPIRED') resolve([]);
      else reject(error);
    });
    const cancel = (): void => {
      call.cancel();
    };
    signal.addEventListener('abort', cancel);
  });
}
