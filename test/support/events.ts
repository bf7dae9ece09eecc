import { credentials, Metadata, type ClientReadableStream } from '@grpc/grpc-js';
import {
  ListEventsRequest,
  SessionEventsClient,
  SessionEventsService,
  SessionEventType,
  WatchEventsRequest,
  type ListEventsResponse,
  type SessionEvent,
  type WatchEventsResponse,
} from '../../src/gen/sessionimport/v1/session_events';
import { openMultiDatabase } from '../../src/db/connection';
import { write } from '../../src/db/query';
import { numberEvents } from '../../src/events/numbering';
import { planRound, prepareRounds } from '../../src/store/events/rounds';
import { must } from '../../src/model/must';
import type { Tenant } from './fixtures';
import { eventually } from './helpers';
import { databaseUrl } from './mysql';
import type { Harness } from './service';
import { Signal } from './signal';

/** An environment in which events get their numbers quickly. */
export const quickEvents = { EVENT_INTERVAL: '20' };

/** The names of types, without their prefix. */
export const typesOf = (events: readonly SessionEvent[]): string[] =>
  events.map(({ type }) =>
    must(SessionEventType[type], 'the name of a type').replace('SESSION_EVENT_TYPE_', ''),
  );

/** Lists events of a tenant. */
export function listEvents(
  { client }: Pick<Harness, 'client'>,
  { apiKey }: Tenant,
  request: Partial<ListEventsRequest> = {},
): Promise<ListEventsResponse> {
  return client.call(
    SessionEventsService.listEvents,
    apiKey,
    ListEventsRequest.fromPartial(request),
  );
}

/** Waits until a tenant's feed has so many events, and returns them. */
export async function eventsOf(
  harness: Pick<Harness, 'client'>,
  tenant: Tenant,
  count: number,
): Promise<SessionEvent[]> {
  await eventually(async () => (await listEvents(harness, tenant)).lastSequence >= count);
  return (await listEvents(harness, tenant, { pageSize: 500 })).events;
}

/** A stream of events. */
export class EventStream {
  readonly events: SessionEvent[] = [];
  private readonly changed = new Signal();
  private readonly client: SessionEventsClient;
  private readonly call: ClientReadableStream<WatchEventsResponse>;
  private header: Metadata | undefined;
  private ending: Error | 'OK' | undefined;

  constructor(port: number, apiKey: string, after = 0) {
    this.client = new SessionEventsClient(`127.0.0.1:${port}`, credentials.createInsecure(), {
      // Each stream on a connection of its own.
      'grpc.use_local_subchannel_pool': 1,
    });
    const metadata = new Metadata();
    metadata.set('x-api-key', apiKey);
    const request = WatchEventsRequest.fromPartial({ after });
    this.call = this.client.watchEvents(request, metadata);
    this.call
      .on('metadata', (header) => {
        this.header = header;
        this.changed.fire();
      })
      .on('data', ({ event }: WatchEventsResponse) => {
        this.events.push(must(event, 'the event of a message'));
        this.changed.fire();
      })
      .on('error', (error) => {
        this.end(error);
      })
      .on('end', () => {
        this.end('OK');
      });
  }

  /** Waits until the service has accepted the stream, and returns the header that says so. */
  async accepted(): Promise<Metadata> {
    await this.changed.until(() => this.header !== undefined || this.ending !== undefined);
    return must(this.header, 'a header');
  }

  /** Waits until so many events have come. */
  async received(count: number): Promise<readonly SessionEvent[]> {
    await this.changed.until(() => this.events.length >= count || this.ending !== undefined);
    if (this.events.length < count) throw new Error('the stream has ended', { cause: this.ending });
    return this.events;
  }

  /** Waits for the end of the stream. Rejects if it is an error. */
  async ended(): Promise<void> {
    await this.changed.until(() => this.ending !== undefined);
    if (this.ending instanceof Error) throw this.ending;
  }

  pause(): void {
    this.call.pause();
  }

  resume(): void {
    this.call.resume();
  }

  close(): void {
    this.call.cancel();
    this.client.close();
  }

  private end(how: Error | 'OK'): void {
    this.ending ??= how;
    this.changed.fire();
  }
}

/** Gives numbers to all events, now, on the database that the tests share. */
export async function numberAll(): Promise<void> {
  const db = openMultiDatabase({ url: databaseUrl(), poolSize: 1, lockWaitSeconds: 10 });
  // A service may have put off the next round.
  await write(db, prepareRounds());
  await write(db, planRound(0));
  await eventually(async () => (await numberEvents(db, 0)) === 'nothing');
  await db.destroy();
}
