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

/** The part of what all cost together that strangers may always cost. */
const shareOfStrangers = 1 / 4;

/** A connection that is to be cut off because all together cost too much. */
export interface Costliest {
  readonly connection: Connection;
  /** Whether new connections of its address have to wait. Others may be behind the same address as a known peer. */
  readonly punished: boolean;
}

/**
 * The most expensive connection of the most expensive address: of strangers, while these cost more than a quarter of
 * everything, or else of known peers. Strangers cost nothing to make, so they can't have known peers cut off. But if
 * they came first whatever they cost, a known attacker would not be cut off as long as there are any.
 *
 * If only connections mattered, an attacker with many cheap ones could have that of a busy gateway cut off. If only
 * addresses mattered, an attacker with many addresses could.
 *
 * A known peer is punished only if its address alone costs more than half of everything.
 *
 * @param costs of each connection.
 * @returns undefined: none costs anything.
 */
export function costliest(
  costs: Iterable<readonly [Connection, number]>,
  known: KnownPeers,
): Costliest | undefined {
  const costing = [...costs].filter(([, cost]) => cost > 0);
  const all = sumOf(costing);
  const strangers = costing.filter(([{ peer }]) => !known.has(peer));
  const areStrangers = sumOf(strangers) > all * shareOfStrangers;
  const chosen = areStrangers ? strangers : costing.filter(([{ peer }]) => known.has(peer));
  const addresses = [...groupBy(chosen, ([{ address }]) => address).values()];
  const [most] = addresses.toSorted((a, b) => sumOf(b) - sumOf(a));
  if (!most) return undefined;
  const [connection] = most.reduce((a, b) => (b[1] > a[1] ? b : a));
  return { connection, punished: areStrangers || sumOf(most) > all / 2 };
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
