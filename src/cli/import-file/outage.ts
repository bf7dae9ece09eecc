/** An outage is over when no line has waited for this long, in milliseconds. */
const calm = 10_000;

/** Says why lines wait: each reason only once in an outage, however many lines wait, and however often. */
export class Outage {
  private readonly told = new Set<string>();
  private readonly waiting = new Set<object>();
  private endedAt = Number.NEGATIVE_INFINITY;

  /**
   * @param tell says why lines wait.
   * @param pause how long no line must have waited for the outage to be over, in milliseconds. With a rate limit,
   * there are short times in which no line waits: they do not end the outage.
   */
  constructor(
    private readonly tell: (reason: string, why: string) => void,
    private readonly pause = calm,
  ) {}

  /** To be called when a line begins to wait before its next call. */
  waits(line: object, reason: string, why: string): void {
    const another = this.waiting.size === 0 && performance.now() - this.endedAt >= this.pause;
    if (another) this.told.clear();
    this.waiting.add(line);
    if (this.told.has(reason)) return;
    this.told.add(reason);
    this.tell(reason, why);
  }

  /** To be called when a line is finished, whether it has waited or not. */
  ended(line: object): void {
    if (!this.waiting.delete(line) || this.waiting.size > 0) return;
    this.endedAt = performance.now();
  }
}
