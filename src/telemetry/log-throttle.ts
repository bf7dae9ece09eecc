/** How often trouble that goes on is mentioned in the log, in milliseconds. */
const interval = 60_000;

/** Keeps trouble that goes on from filling the log: it is mentioned at once, and then once a minute. */
export class Reminder {
  private mentionedAt = Number.NEGATIVE_INFINITY;

  /** Whether the trouble is to be mentioned now; if so, it counts as mentioned. */
  isDue(): boolean {
    if (performance.now() - this.mentionedAt < interval) return false;
    this.mentionedAt = performance.now();
    return true;
  }

  /** The trouble is over: the next one is mentioned at once. */
  reset(): void {
    this.mentionedAt = Number.NEGATIVE_INFINITY;
  }
}
