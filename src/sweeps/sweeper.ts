import type { MultiDatabase } from '../db/database';
import { write } from '../db/query';
import { whyUnreachable } from '../db/reachable';
import { sessionKinds } from '../model/session';
import { prepareSweep } from '../store/sweeps';
import type { Logger } from '../telemetry/log';
import { LogThrottle } from '../telemetry/log-throttle';
import { sweepChanged } from './changed';
import { sweepGone } from './gone';

/**
 * Looks for sessions that the platform has changed or deleted by itself, and has the applications told that have a
 * copy. Every process does this; the database lets one of them go on with each sweep.
 */
export class SourceSweeper {
  private readonly throttle = new LogThrottle();
  private timer: NodeJS.Timeout | undefined;
  private closed = false;
  private prepared = false;

  /**
   * @param db has a connection that nobody else uses.
   * @param interval the pause between two steps, in milliseconds.
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
    this.timer = setTimeout(() => void this.step(), pause).unref();
  }

  private async step(): Promise<void> {
    let more = false;
    try {
      await this.prepare();
      for (const kind of sessionKinds) more = (await sweepChanged(this.db, kind)) || more;
      await sweepGone(this.db);
      this.throttle.reset();
    } catch (error) {
      this.prepared = false;
      const { why } = whyUnreachable(error as Error);
      if (!this.closed && this.throttle.allows())
        this.log.warn({ why }, 'could not look for changed sources: it is tried again');
    }
    this.wait(more ? 0 : this.interval);
  }

  private async prepare(): Promise<void> {
    if (this.prepared) return;
    for (const kind of sessionKinds) await write(this.db, prepareSweep(`changed ${kind}`));
    await write(this.db, prepareSweep('gone'));
    this.prepared = true;
  }
}
