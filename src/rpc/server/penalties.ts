/** How long connections of an address wait after one was cut off, in milliseconds: at first, and at most. */
const lengths = { first: 1_000, most: 16_000 };

/** If a connection is cut off within this time after a penalty, the next penalty is twice as long, in milliseconds. */
const forgottenAfter = 30_000;

/** After a penalty, those that have waited begin one by one, with this time between them, in milliseconds. */
const between = 50;

/** The most connections of an address that wait. It is not known whether their peers are still there. */
const mostWaiting = 20;

/** Times are those of `performance.now`. */
interface Penalty {
  readonly length: number;
  readonly until: number;
  /** When the next connection may begin. */
  next: number;
}

/**
 * The addresses of which connections were cut off. New ones wait, so that an attacker can't reconnect and go on.
 * A few wait and are not refused, since others may be behind the same address.
 */
export class Penalties {
  private readonly penalties = new Map<string, Penalty>();

  /** A connection of an address was cut off. */
  punish(address: string): void {
    const now = performance.now();
    const before = this.penalties.get(address);
    // Several of its connections may be cut off for the same.
    if (before && now < before.until) return;
    const length = before ? Math.min(2 * before.length, lengths.most) : lengths.first;
    this.penalties.set(address, { length, until: now + length, next: now + length });
  }

  /**
   * Gives a new connection of an address its turn.
   *
   * @returns how long it has to wait, in milliseconds; undefined: too many wait already.
   */
  turnOf(address: string): number | undefined {
    const penalty = this.penalties.get(address);
    const now = performance.now();
    if (!penalty || penalty.next <= now) return 0;
    const { next, until } = penalty;
    if (next - Math.max(now, until) >= mostWaiting * between) return undefined;
    penalty.next += between;
    return next - now;
  }

  /** Whether an address was punished, and this still counts. */
  has(address: string): boolean {
    return this.penalties.has(address);
  }

  /** Forgets penalties that no longer count. To be called from time to time. */
  forget(): void {
    const now = performance.now();
    for (const [address, { until }] of this.penalties) {
      if (until + forgottenAfter <= now) this.penalties.delete(address);
    }
  }
}
