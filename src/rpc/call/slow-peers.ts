import { CallAbandoned } from '../../model/problems';

/**
 * The peers that leave many answers unread. Until they have taken them, nothing more is read from the database for them:
 * whatever it was, it would only fill memory, and take turns from others.
 */
export class SlowPeers {
  /** What waits for each slow peer. */
  private readonly waiting = new Map<string, Set<() => void>>();

  /** How many there are. */
  get count(): number {
    return this.waiting.size;
  }

  /** @param peer its address and port, as gRPC names it. */
  has(peer: string): boolean {
    return this.waiting.has(peer);
  }

  /** Says which peers are slow now. All others have caught up. */
  update(slow: ReadonlySet<string>): void {
    for (const [peer, waiting] of this.waiting) {
      if (slow.has(peer)) continue;
      this.waiting.delete(peer);
      for (const proceed of waiting) proceed();
    }
    for (const peer of slow) if (!this.waiting.has(peer)) this.waiting.set(peer, new Set());
  }

  /**
   * Resolves when a peer has caught up; at once, if it is not slow.
   *
   * @throws CallAbandoned if the signal fires before.
   */
  caughtUp(peer: string, signal: AbortSignal): Promise<void> {
    const waiting = this.waiting.get(peer);
    if (!waiting) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        waiting.delete(proceed);
        reject(new CallAbandoned());
      };
      const proceed = (): void => {
        signal.removeEventListener('abort', giveUp);
        resolve();
      };
      if (signal.aborted) {
        reject(new CallAbandoned());
        return;
      }
      signal.addEventListener('abort', giveUp, { once: true });
      waiting.add(proceed);
    });
  }
}
