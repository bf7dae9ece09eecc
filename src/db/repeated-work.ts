import type { Logger } from '../telemetry/log';
import { LogThrottle } from '../telemetry/log-throttle';
import { whyUnreachable } from './reachable';

/** How work is repeated. */
export interface Repetition {
  /** The pause between two times, in milliseconds. */
  readonly interval: number;
  /** The pause before the first time, in milliseconds; by default, the interval. */
  readonly first?: number;
  /** What the log says if the work fails, with the error's code. */
  readonly complaint: string;
  readonly log: Logger;
}

/**
 * Work on the database that a process does by itself, again and again. If it fails, this is logged, and the next time
 * follows as usual.
 */
export class RepeatedWork {
  private readonly throttle = new LogThrottle();
  private readonly stopping = new AbortController();
  private timer: NodeJS.Timeout | undefined;

  /** @param work `true`: there is more to be done at once. The signal fires when it is to end. */
  constructor(
    private readonly work: (signal: AbortSignal) => Promise<boolean>,
    private readonly repetition: Repetition,
  ) {
    this.wait(repetition.first ?? repetition.interval);
  }

  close(): void {
    this.stopping.abort();
    clearTimeout(this.timer);
  }

  private wait(pause: number): void {
    if (this.stopping.signal.aborted) return;
    this.timer = setTimeout(() => void this.doOnce(), pause).unref();
  }

  private async doOnce(): Promise<void> {
    const { interval, complaint, log } = this.repetition;
    const { signal } = this.stopping;
    let more = false;
    try {
      more = await this.work(signal);
      this.throttle.reset();
    } catch (error) {
      const { why } = whyUnreachable(error as Error);
      if (!signal.aborted && this.throttle.allows(why)) log.warn({ why }, complaint);
    }
    this.wait(more ? 0 : interval);
  }
}
