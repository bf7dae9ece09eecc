/** The calls that were accepted and are not answered yet. A graceful shutdown waits for them. */
export class RunningCalls {
  private readonly running = new Set<Promise<void>>();

  /** Counts a call as running until its work has ended, well or badly. */
  add(work: Promise<void>): void {
    this.running.add(work);
    const end = (): void => {
      this.running.delete(work);
    };
    work.then(end, end);
  }

  /** Resolves when no call runs. */
  async ended(): Promise<void> {
    while (this.running.size > 0) await Promise.allSettled(this.running);
  }
}
