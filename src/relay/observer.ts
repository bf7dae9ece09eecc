import type { SessionEvent } from '../gen/sessionimport/v1/session_events';

/** With whom a relay works: the service whose feed it reads, and the receiver that it posts to. */
export type RelayPeer = 'service' | 'receiver';

/** Is told how a relay gets on. */
export interface RelayObserver {
  /** The relay begins. @param after the number of the last event that was delivered before. */
  began(after: number): void;
  /** The receiver has taken an event. */
  delivered(event: Pick<SessionEvent, 'sequence' | 'createdAt'>): void;
  /** A peer could not be called, has refused, or has not answered. */
  failed(peer: RelayPeer): void;
  /** A peer works. May be called again while it works. */
  recovered(peer: RelayPeer): void;
}
