import { randomUUID } from 'node:crypto';
import type { ConnectionSide } from './connection-record';
import type { ApplicationId, ConnectionId, EventId, SessionId } from './ids';
import type { SessionKind } from './session';

/** Whom each type of event is told to. */
const listeners = {
  session_imported: ['source', 'recipient'],
  import_refused: ['recipient'],
  share_token_created: ['source', 'recipient'],
  share_token_revoked: ['source', 'recipient'],
  share_token_expired: ['source', 'recipient'],
  connection_proposed: ['source', 'recipient'],
  connection_accepted: ['source', 'recipient'],
  connection_ended: ['source', 'recipient'],
  source_changed: ['recipient'],
  source_withdrawn: ['recipient'],
  withdrawal_answered: ['source'],
  // About a session of one application only, so there are no sides.
  session_withdrawn: ['owner'],
  session_erased: ['owner'],
} as const satisfies Readonly<Record<string, readonly EventRole[]>>;

/**
 * The events in which a recipient learns the id of the other application's session. Before it has a share token, it
 * must not learn which tokens are for the same session.
 */
const namingOriginals: ReadonlySet<EventType> = new Set([
  'session_imported',
  'import_refused',
  'source_changed',
  'source_withdrawn',
]);

/** What happened. */
export type EventType = keyof typeof listeners;

/** All types of events. */
export const eventTypes = Object.keys(listeners) as EventType[];

/** The part that an application has in an event. */
export type EventRole = ConnectionSide | 'owner';

/** An application that takes part in an event. */
interface Participant {
  readonly application: ApplicationId;
  /** Its session, if there is one. */
  readonly session?: SessionId;
}

/** What every application that is told gets to know. */
interface CommonFacts {
  readonly id: EventId;
  readonly type: EventType;
  /** When it happened, in UTC (RFC 3339). */
  readonly at: string;
  readonly kind?: SessionKind | undefined;
  /** The id of a share token. */
  readonly token?: string | undefined;
  /** Why an import was refused, why a session was withdrawn, or what was answered. */
  readonly reason?: string | undefined;
  readonly connection?: ConnectionId | undefined;
}

/** An event as it is recorded: once, whoever is told. It has ids and reasons, and nothing about people. */
export type RecordedEvent = CommonFacts & Readonly<Partial<Record<EventRole, Participant>>>;

/** An event as one application is told. */
export interface ToldEvent extends CommonFacts {
  /** Absent: the event has no sides. */
  readonly side?: ConnectionSide | undefined;
  readonly session?: SessionId | undefined;
  readonly other?: ApplicationId | undefined;
  /** For a recipient: the session of the other application. */
  readonly from?: SessionId | undefined;
}

/** An event with its number in the feed of an application. */
export interface SequencedEvent extends ToldEvent {
  /** From 1, without gaps. */
  readonly sequence: number;
}

/** What an event tells, besides what happened and when. */
export type EventFacts = Omit<RecordedEvent, 'id' | 'type' | 'at'>;

/** Makes an event with an id of its own. */
export function newEvent(type: EventType, at: Date, facts: EventFacts): RecordedEvent {
  // No table has it as a key, so it need not grow with time. A random UUID is made ten times as fast as a version 7.
  return { id: randomUUID() as string as EventId, type, at: at.toISOString(), ...facts };
}

/** Which applications are told of an event, and what each of them is told. */
export function tellings(
  recorded: RecordedEvent,
): { readonly application: ApplicationId; readonly event: ToldEvent }[] {
  const roles: readonly EventRole[] = listeners[recorded.type];
  return roles.flatMap((role) => {
    const own = recorded[role];
    return own ? [{ application: own.application, event: toldAs(role, own, recorded) }] : [];
  });
}

/** What an application is told. Properties are copied by name, which is ten times as fast as with spread syntax. */
function toldAs(
  role: EventRole,
  own: Participant,
  { id, type, at, kind, token, reason, connection, source, recipient }: RecordedEvent,
): ToldEvent {
  const side = role === 'owner' ? undefined : role;
  const other = side && (side === 'source' ? recipient : source);
  const from = side === 'recipient' && namingOriginals.has(type) ? source?.session : undefined;
  const otherId = other?.application;
  const { session } = own;
  return { id, type, at, kind, token, reason, connection, side, session, other: otherId, from };
}
