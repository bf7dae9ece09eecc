import { groupBy } from '../../model/collections';
import type { KnownPeers } from '../call/known-peers';
import type { Connection } from './connection';

/**
 * The connection that gives way to a newcomer when there are too many.
 *
 * If some have no calls, it is one of these: of the address with the most of them, the one that has been idle for
 * longest. It loses little, since its client connects again when it has a call. Whether its peer is known does not
 * matter, since no newcomer is known yet.
 *
 * If all have calls, it is one of strangers, or of known peers if there are no strangers: of the address with the most
 * of them, the oldest. But only if that address has at least two more than the newcomer's.
 *
 * @param connections in the order in which they were opened.
 * @param newcomer the address of the newcomer.
 * @returns undefined: none gives way.
 */
export function idlestOrOldest(
  connections: readonly Connection[],
  newcomer: string,
  known: KnownPeers,
): Connection | undefined {
  const withoutCalls = connections.filter(({ idleSince }) => idleSince !== undefined);
  if (withoutCalls.length > 0) {
    const ofMost = ofTheMost(withoutCalls);
    return ofMost.reduce((a, b) => ((b.idleSince ?? 0) < (a.idleSince ?? 0) ? b : a));
  }
  const candidates = strangersOr(connections, known);
  const [oldest] = ofTheMost(candidates);
  const ofAddress = (address: string | undefined): number =>
    candidates.filter((candidate) => candidate.address === address).length;
  return ofAddress(oldest?.address) >= ofAddress(newcomer) + 2 ? oldest : undefined;
}

/**
 * The most expensive connection of the most expensive address, of strangers if there are any. If only connections
 * mattered, an attacker with many cheap ones could have that of a busy gateway cut off. If only addresses mattered, an
 * attacker with many addresses could.
 *
 * @returns undefined: none costs anything.
 */
export function costliest(
  connections: readonly Connection[],
  costOf: (connection: Connection) => number,
  known: KnownPeers,
): Connection | undefined {
  const costing = connections.filter((connection) => costOf(connection) > 0);
  const addresses = [...byAddress(strangersOr(costing, known)).values()].map((ofAddress) => ({
    ofAddress,
    cost: ofAddress.reduce((sum, connection) => sum + costOf(connection), 0),
  }));
  const [most] = addresses.toSorted((a, b) => b.cost - a.cost);
  return most?.ofAddress.reduce((a, b) => (costOf(b) > costOf(a) ? b : a));
}

/** Connections by the address of their peer. */
export function byAddress(connections: Iterable<Connection>): Map<string, Connection[]> {
  return groupBy(connections, ({ address }) => address);
}

/** The connections of strangers; if there are none, all of them. */
function strangersOr(connections: readonly Connection[], known: KnownPeers): readonly Connection[] {
  const strangers = connections.filter(({ peer }) => !known.has(peer));
  return strangers.length > 0 ? strangers : connections;
}

/** The connections of the address that has the most of them; or of all addresses that have equally many. */
function ofTheMost(connections: readonly Connection[]): readonly Connection[] {
  const addresses = [...byAddress(connections).values()];
  const most = addresses.reduce((longest, { length }) => Math.max(longest, length), 0);
  return addresses.filter(({ length }) => length === most).flat();
}
