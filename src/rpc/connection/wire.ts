import {
  ConnectionEnding as WireEnding,
  ConnectionParty as WireParty,
  ConnectionState as WireState,
  type Connection,
} from '../../gen/sessionimport/v1/session_connection';
import {
  connectionSides,
  connectionStates,
  standingOf,
  type ConnectionEnding,
  type ConnectionParty,
  type ConnectionRecord,
  type ConnectionSide,
  type ConnectionState,
} from '../../model/connection-record';
import { wireTerms } from './terms';

const wireStates: Readonly<Record<ConnectionState, WireState>> = {
  proposed: WireState.CONNECTION_STATE_PROPOSED,
  active: WireState.CONNECTION_STATE_ACTIVE,
  ended: WireState.CONNECTION_STATE_ENDED,
};

/** The parties of a connection, as the contract writes them. */
export const wireParties: Readonly<Record<ConnectionParty, WireParty>> = {
  source: WireParty.CONNECTION_PARTY_SOURCE,
  recipient: WireParty.CONNECTION_PARTY_RECIPIENT,
  operator: WireParty.CONNECTION_PARTY_OPERATOR,
};

const wireEndings: Readonly<Record<ConnectionEnding, WireEnding>> = {
  ended: WireEnding.CONNECTION_ENDING_ENDED,
  replaced: WireEnding.CONNECTION_ENDING_REPLACED,
  declined: WireEnding.CONNECTION_ENDING_DECLINED,
  withdrawn: WireEnding.CONNECTION_ENDING_WITHDRAWN,
  expired: WireEnding.CONNECTION_ENDING_EXPIRED,
};

/** The values that a request may have as its filter by state. Unspecified means any. */
export const wantedStates: readonly WireState[] = [
  WireState.CONNECTION_STATE_UNSPECIFIED,
  ...Object.values(wireStates),
];

/** The state that a request wants; undefined: any. */
export function wantedState(wanted: number): ConnectionState | undefined {
  return connectionStates.find((state) => (wireStates[state] as number) === wanted);
}

/** The side that a request names; undefined: none. */
export function wantedSide(wanted: number): ConnectionSide | undefined {
  return connectionSides.find((side) => (wireParties[side] as number) === wanted);
}

/** A connection as the contract writes it. @param at the moment that its state is for. */
export function wireConnection(record: ConnectionRecord, at: Date): Connection {
  const { state, ending, endedAt } = standingOf(record, at);
  return {
    connectionId: record.id,
    sourceApplication: record.sourceApplicationId,
    recipientApplication: record.recipientApplicationId,
    state: wireStates[state],
    terms: wireTerms(record.terms),
    proposedBy: wireParties[record.proposedBy],
    createdAt: record.createdAt,
    acceptableUntil: state === 'proposed' ? (record.expiresAt ?? undefined) : undefined,
    acceptedAt: record.acceptedAt ?? undefined,
    endedAt: endedAt ?? undefined,
    ending: ending === null ? WireEnding.CONNECTION_ENDING_UNSPECIFIED : wireEndings[ending],
    endedBy:
      record.endedBy === null
        ? WireParty.CONNECTION_PARTY_UNSPECIFIED
        : wireParties[record.endedBy],
    replacedBy: record.replacedBy ?? undefined,
    lastUsedAt: record.usedAt ?? undefined,
  };
}
