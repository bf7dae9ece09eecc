import type { MultiDatabase } from '../db/database';
import { whyUnreachable } from '../db/reachable';
import type { Logger } from '../telemetry/log';
import { LogThrottle } from '../telemetry/log-throttle';
import { numberEvents } from './numbering';

/**
 * Gives events their numbers, in rounds. Every process does this; the database lets one of them do each round. If a
 * round fails, the next one does its work.
 */
export class EventSealer {
  private readonly throttle = new LogThrottle();
  private timer: NodeJS.Timeout | undefined;
  private closed = false;

  /**
   * @param db has a connection that nobody else uses.
   * @param interval the pause between two rounds, in milliseconds.
   */
  constructor(
    private readonly db: MultiDatabase,
    private readonly interval: number,
    private readonly log: Logger,
  ) {
    this.wait(interval);
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
  }

  private wait(pause: number): void {
    if (this.closed) return;
    this.timer = setTimeout(() => void this.round(), pause).unref();
  }

  private async round(): Promise<void> {
    let pause = this.interval;
    try {
      if ((await numberEvents(this.db, pause)) === 'more') pause = 0;
      this.throttle.reset();
    } catch (error) {
      const { why } = whyUnreachable(error as Error);
      if (!this.closed && this.throttle.allows())
        this.log.warn({ why }, 'could not number events: they wait');
    }
    this.wait(pause);
  }
}
