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

/** The part of the limit that known peers may cost together. */
const shareOfKnown = 3 / 4;

/** A connection that is to be cut off because connections cost too much together. */
export interface Excess {
  readonly connection: Connection;
  /** Whether new connections of its address have to wait. */
  readonly punished: boolean;
}

/**
 * What is to be cut off if connections cost too much together: the most expensive connection of the most expensive
 * address. It is one of known peers if these cost more than three quarters of the limit; or one of strangers, if all
 * together cost more than the limit. So what strangers cost never ends the connection of a known
 * peer, and a quarter of the limit is always left for strangers.
 *
 * If only connections mattered, an attacker with many cheap ones could have that of a busy gateway cut off. If only
 * addresses mattered, an attacker with many addresses could.
 *
 * The address of a known peer is punished only if known peers of other addresses cost something, too, and its own cost
 * more than all of these together.
 *
 * @param costs of each connection.
 * @returns undefined: they do not cost too much.
 */
export function excessOf(
  costs: Iterable<readonly [Connection, number]>,
  limit: number,
  known: KnownPeers,
): Excess | undefined {
  const costing = [...costs].filter(([, cost]) => cost > 0);
  const ofKnown = costing.filter(([{ peer }]) => known.has(peer));
  if (sumOf(ofKnown) > limit * shareOfKnown) {
    const { most, cost, addresses } = costliest(ofKnown);
    return { connection: most, punished: addresses > 1 && cost > sumOf(ofKnown) / 2 };
  }
  if (sumOf(costing) <= limit) return undefined;
  const { most } = costliest(costing.filter(([{ peer }]) => !known.has(peer)));
  return { connection: most, punished: true };
}

/** The most expensive connection of the most expensive address, and what that costs. @param costs at least one. */
function costliest(costs: readonly (readonly [Connection, number])[]): {
  readonly most: Connection;
  readonly cost: number;
  readonly addresses: number;
} {
  const addresses = [...groupBy(costs, ([{ address }]) => address).values()];
  const dearest = addresses.reduce((a, b) => (sumOf(b) > sumOf(a) ? b : a));
  const [most] = dearest.reduce((a, b) => (b[1] > a[1] ? b : a));
  return { most, cost: sumOf(dearest), addresses: addresses.length };
}

function sumOf(costs: readonly (readonly [Connection, number])[]): number {
  return costs.reduce((sum, [, cost]) => sum + cost, 0);
}

/** Connections by the address of their peer. */
export function byAddress(connections: Iterable<Connection>): Map<string, Connection[]> {
  return groupBy(connections, ({ address }) => address);
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
