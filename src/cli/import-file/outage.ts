/** How long no line must have waited for what comes next to be another outage, in milliseconds. */
const calm = 10_000;

/** Says why lines wait: each reason once in an outage, however many lines wait, and however often. */
export class Outage {
  private readonly told = new Set<string>();
  private readonly waiting = new Set<object>();
  private endedAt = Number.NEGATIVE_INFINITY;

  /**
   * @param tell says why lines wait.
   * @param pause how long none must have waited. A rate limit lets lines through all the time.
   */
  constructor(
    private readonly tell: (reason: string, why: string) => void,
    private readonly pause = calm,
  ) {}

  /** A line waits before it is called again. */
  waits(line: object, reason: string, why: string): void {
    const another = this.waiting.size === 0 && performance.now() - this.endedAt >= this.pause;
    if (another) this.told.clear();
    this.waiting.add(line);
    if (this.told.has(reason)) return;
    this.told.add(reason);
    this.tell(reason, why);
  }

  /** A line has come to its end, whether it has waited or not. */
  ended(line: object): void {
    if (!this.waiting.delete(line) || this.waiting.size > 0) return;
    this.endedAt = performance.now();
  }
}
