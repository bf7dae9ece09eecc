import { ConnectionParty } from '../gen/sessionimport/v1/session_connection';
import { SessionEventType, type SessionEvent } from '../gen/sessionimport/v1/session_events';
import { SessionKind } from '../gen/sessionimport/v1/session_import';

/**
 * The body of a webhook, in the form that Standard Webhooks recommends. What an event does not have is left out.
 * The same event always has the same body.
 */
export function bodyOf(event: SessionEvent): string {
  return JSON.stringify({
    type: typeOf(event.type),
    timestamp: event.createdAt?.toISOString(),
    data: {
      event_id: event.eventId,
      sequence: event.sequence,
      own_side: nameOf(ConnectionParty, event.ownSide, 'CONNECTION_PARTY_'),
      session_id: event.sessionId,
      session_kind: nameOf(SessionKind, event.sessionKind, 'SESSION_KIND_'),
      other_application_id: event.otherApplicationId,
      shared_from_session: event.sharedFromSession,
      share_token_id: event.shareTokenId,
      reason: event.reason,
      connection_id: event.connectionId,
    },
  });
}

/**
 * The type in the form of Standard Webhooks: `share_token.revoked`. A type that only a newer service knows has its
 * number: `unknown.99`.
 */
function typeOf(type: SessionEventType): string {
  const name = nameOf(SessionEventType, type, 'SESSION_EVENT_TYPE_');
  return name?.replace(/_([a-z]+)$/, '.$1') ?? `unknown.${type}`;
}

/** The name of an enum's value, in small letters; undefined: it is not set, or not known. */
function nameOf(
  names: Readonly<Record<number, string>>,
  value: number,
  prefix: string,
): string | undefined {
  return value === 0 ? undefined : names[value]?.slice(prefix.length).toLowerCase();
}
