import type { Statement } from '../../db/query';
import { newEvent, type EventType, type RecordedEvent } from '../../model/events';
import type { ConnectedPair } from '../../model/connection';
import { newId, type ConnectionId } from '../../model/ids';
import { recordEvents } from '../events/outbox';

/** What happens to connections. */
type ConnectionEvent = Extract<EventType, `connection_${string}`>;

/** A connection that something happens to. */
export interface NamedConnection extends ConnectedPair {
  readonly id: ConnectionId;
}

/** Records what happens to connections at a moment. @param happened at least one. */
export function recordConnectionEvents(
  at: Date,
  ...happened: readonly (readonly [ConnectionEvent, NamedConnection])[]
): Statement {
  return recordEvents(
    newId(),
    happened.map(([type, connection]) => eventOf(type, connection, at)),
  );
}

function eventOf(type: ConnectionEvent, connection: NamedConnection, at: Date): RecordedEvent {
  return newEvent(type, at, {
    source: { application: connection.sourceApplicationId },
    recipient: { application: connection.recipientApplicationId },
    connection: connection.id,
  });
}
