import type { ConnectionTerms } from './connection';
import type { ApplicationId, ConnectionId } from './ids';

/** The sides of a connection: who shares, and who imports. */
export const connectionSides = ['source', 'recipient'] as const;

/** A side of a connection. */
export type ConnectionSide = (typeof connectionSides)[number];

/** Who does something to a connection. */
export type ConnectionParty = ConnectionSide | 'operator';

/** The states of a connection: see `ConnectionState` in the proto file. */
export const connectionStates = ['proposed', 'active', 'ended'] as const;

/** A state of a connection. */
export type ConnectionState = (typeof connectionStates)[number];

/** How a connection ended: see `ConnectionEnding` in the proto file. */
export type ConnectionEnding = 'ended' | 'replaced' | 'declined' | 'withdrawn' | 'expired';

/** A connection, or the proposal of one, as it is stored: without who acted for the applications. */
export interface ConnectionRecord {
  readonly id: ConnectionId;
  readonly sourceApplicationId: ApplicationId;
  readonly recipientApplicationId: ApplicationId;
  readonly terms: ConnectionTerms;
  /** Whether it is a proposal that nobody has accepted or ended. It may have expired. */
  readonly open: boolean;
  readonly active: boolean;
  readonly proposedBy: ConnectionParty;
  readonly createdAt: Date;
  /** The first moment at which the proposal can't be accepted; null: an operator has made the connection. */
  readonly expiresAt: Date | null;
  /** Null, here and below: it was not. */
  readonly acceptedAt: Date | null;
  readonly endedAt: Date | null;
  /** Who ended it; null also if the proposal has expired. */
  readonly endedBy: ConnectionParty | null;
  readonly replacedBy: ConnectionId | null;
  /** When an import last rested on it; null: none did. */
  readonly usedAt: Date | null;
}

/** How a connection stands at a moment, and if it has ended, when and how. */
export type ConnectionStanding =
  | { readonly state: 'proposed' | 'active'; readonly ending: null; readonly endedAt: null }
  | { readonly state: 'ended'; readonly ending: ConnectionEnding; readonly endedAt: Date | null };

/** The longest time for which a proposal can be accepted, in milliseconds: 30 days. */
export const proposalLife = 30 * 86_400_000;

/**
 * Until when a proposal can be accepted: for 30 days, but not once its terms are no longer certified.
 *
 * @param at when it is made.
 */
export function expiryOf({ certifiedUntil }: ConnectionTerms, at: Date): Date {
  const expiry = new Date(at.getTime() + proposalLife);
  return certifiedUntil !== null && certifiedUntil < expiry ? certifiedUntil : expiry;
}

/** How a connection stands at a moment. A proposal expires by itself, even if its row does not say so yet. */
export function standingOf(record: ConnectionRecord, at: Date): ConnectionStanding {
  if (record.active) return { state: 'active', ending: null, endedAt: null };
  if (!record.open) return { state: 'ended', ending: endingOf(record), endedAt: record.endedAt };
  const { expiresAt } = record;
  if (expiresAt !== null && expiresAt <= at) {
    return { state: 'ended', ending: 'expired', endedAt: expiresAt };
  }
  return { state: 'proposed', ending: null, endedAt: null };
}

/** How a connection ended. It must be neither open nor active. */
function endingOf(record: ConnectionRecord): ConnectionEnding {
  const { acceptedAt, endedBy, proposedBy, replacedBy } = record;
  if (acceptedAt !== null) return replacedBy === null ? 'ended' : 'replaced';
  if (endedBy === null) return 'expired';
  return endedBy === proposedBy || endedBy === 'operator' ? 'withdrawn' : 'declined';
}

/** The other side. */
export function otherSide(side: ConnectionSide): ConnectionSide {
  return side === 'source' ? 'recipient' : 'source';
}

/** The side that an application has in a connection; undefined: none. */
export function sideOf(
  {
    sourceApplicationId,
    recipientApplicationId,
  }: Pick<ConnectionRecord, 'sourceApplicationId' | 'recipientApplicationId'>,
  applicationId: ApplicationId,
): ConnectionSide | undefined {
  if (applicationId === sourceApplicationId) return 'source';
  return applicationId === recipientApplicationId ? 'recipient' : undefined;
}
