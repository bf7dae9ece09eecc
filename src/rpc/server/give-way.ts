import { groupBy } from '../../model/collections';
import type { KnownPeers } from '../call/known-peers';
import type { Connection } from './connection';

/**
 * The connection that gives way to a newcomer when there are too many. The first of these that there is:
 *
 * - If the newcomer's address has more than half of all, one of its own, without calls.
 * - One of the address with the most strangers, if it has at least two more of them than the newcomer's.
 * - The stranger that has been without calls for longest, if its address has no fewer strangers than the newcomer's.
 * - One of the address with the most connections, if it has at least two more than the newcomer's: one without calls, or
 *   any if the address has more than half of all.
 *
 * Of an address, it is the one that has been without calls for longest, or else the oldest. One without calls loses
 * little, since its client connects again when it has a call.
 *
 * @param connections in the order in which they were opened.
 * @param newcomer the address of the newcomer, which is a stranger.
 * @returns undefined: none gives way.
 */
export function givingWay(
  connections: readonly Connection[],
  newcomer: string,
  known: KnownPeers,
): Connection | undefined {
  const hasMostOf = ({ length }: readonly Connection[]): boolean => length > connections.length / 2;
  const all = byAddress(connections);
  const own = all.get(newcomer) ?? [];
  if (hasMostOf(own)) return idlest(own);

  const strangers = byAddress(connections.filter(({ peer }) => !known.has(peer)));
  const ownStrangers = strangers.get(newcomer)?.length ?? 0;
  const crowd = largest(strangers);
  if (crowd.length >= ownStrangers + 2) return idlest(crowd) ?? crowd[0];
  const equals = [...strangers.values()].filter(({ length }) => length >= ownStrangers);
  const idle = idlest(equals.flat());
  if (idle) return idle;

  const most = largest(all);
  if (most.length < own.length + 2) return undefined;
  return idlest(most) ?? (hasMostOf(most) ? most[0] : undefined);
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

/** The connection that has been without calls for longest. Undefined: all have calls. */
function idlest(connections: readonly Connection[]): Connection | undefined {
  const [first, ...others] = connections.filter(({ idleSince }) => idleSince !== undefined);
  return others.reduce((a, b) => ((b.idleSince ?? 0) < (a?.idleSince ?? 0) ? b : a), first);
}

/** The connections of the address that has the most. */
function largest(addresses: ReadonlyMap<string, readonly Connection[]>): readonly Connection[] {
  let most: readonly Connection[] = [];
  for (const ofAddress of addresses.values()) if (ofAddress.length > most.length) most = ofAddress;
  return most;
}
