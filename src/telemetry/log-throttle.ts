/** How often a lasting error is logged, in milliseconds. */
const interval = 60_000;

/** Keeps a lasting error from filling the log: it is logged at once, and then once a minute. */
export class LogThrottle {
  private loggedAt = Number.NEGATIVE_INFINITY;
  private loggedWhy: string | undefined;

  /**
   * Whether to log the error now; if so, it counts as logged.
   *
   * @param why what is wrong. If that has changed, the error is logged at once. Left out: it is always the same.
   */
  allows(why?: string): boolean {
    if (why === this.loggedWhy && performance.now() - this.loggedAt < interval) return false;
    this.loggedAt = performance.now();
    this.loggedWhy = why;
    return true;
  }

  /** The error is over: the next one is logged at once. */
  reset(): void {
    this.loggedAt = Number.NEGATIVE_INFINITY;
  }
}
