import { ConnectionParty } from '../../gen/sessionimport/v1/session_connection';
import { SessionEventType, type SessionEvent } from '../../gen/sessionimport/v1/session_events';
import { SessionKind as WireKind } from '../../gen/sessionimport/v1/session_import';
import type { EventType, SequencedEvent } from '../../model/events';
import { wireParties } from '../connection/wire';
import { wireKinds } from '../wire';

const wireTypes: Readonly<Record<EventType, SessionEventType>> = {
  session_imported: SessionEventType.SESSION_EVENT_TYPE_SESSION_IMPORTED,
  import_refused: SessionEventType.SESSION_EVENT_TYPE_IMPORT_REFUSED,
  share_token_created: SessionEventType.SESSION_EVENT_TYPE_SHARE_TOKEN_CREATED,
  share_token_revoked: SessionEventType.SESSION_EVENT_TYPE_SHARE_TOKEN_REVOKED,
  share_token_expired: SessionEventType.SESSION_EVENT_TYPE_SHARE_TOKEN_EXPIRED,
  connection_proposed: SessionEventType.SESSION_EVENT_TYPE_CONNECTION_PROPOSED,
  connection_accepted: SessionEventType.SESSION_EVENT_TYPE_CONNECTION_ACCEPTED,
  connection_ended: SessionEventType.SESSION_EVENT_TYPE_CONNECTION_ENDED,
  session_withdrawn: SessionEventType.SESSION_EVENT_TYPE_SESSION_WITHDRAWN,
  source_changed: SessionEventType.SESSION_EVENT_TYPE_SOURCE_CHANGED,
  source_withdrawn: SessionEventType.SESSION_EVENT_TYPE_SOURCE_WITHDRAWN,
  withdrawal_answered: SessionEventType.SESSION_EVENT_TYPE_WITHDRAWAL_ANSWERED,
  session_erased: SessionEventType.SESSION_EVENT_TYPE_SESSION_ERASED,
};

/** An event as the contract writes it. */
export function wireEvent(event: SequencedEvent): SessionEvent {
  return {
    eventId: event.id,
    sequence: event.sequence,
    createdAt: new Date(event.at),
    type: wireTypes[event.type],
    ownSide: event.side ? wireParties[event.side] : ConnectionParty.CONNECTION_PARTY_UNSPECIFIED,
    sessionId: event.session,
    sessionKind: event.kind ? wireKinds[event.kind] : WireKind.SESSION_KIND_UNSPECIFIED,
    otherApplicationId: event.other,
    sharedFromSession: event.from,
    shareTokenId: event.token,
    reason: event.reason,
    connectionId: event.connection,
  };
}
