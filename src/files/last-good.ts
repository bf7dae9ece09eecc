import type { Logger } from '../telemetry/log';
import { LogThrottle } from '../telemetry/log-throttle';

/** How something that changes while the service runs is kept up to date. */
export interface Reloading<T> {
  /**
   * Reads the value as it is now. Returns `current` itself if nothing has changed.
   *
   * @throws Error if it can't be used; the message is logged, and repeats nothing secret.
   */
  readonly load: (current: T) => Promise<T>;
  /** How often it is read, in milliseconds. */
  readonly interval: number;
  /** Called after each successful reading. */
  readonly loaded: (value: T, changed: boolean) => void;
  /** The log message for a failed reading, and its fields. */
  readonly complaint: string;
  readonly fields?: Readonly<Record<string, string>>;
}

/**
 * Something that is read again at intervals. When a reading fails, the last good one stays, and the log
 * says so.
 */
export class LastGood<T> {
  private readonly timer: NodeJS.Timeout;
  private readonly throttle = new LogThrottle();
  private refreshing: Promise<void> | undefined;
  private hasFailed = false;

  constructor(
    private value: T,
    private readonly reloading: Reloading<T>,
    private readonly log: Logger,
  ) {
    this.timer = setInterval(() => void this.refresh(), reloading.interval).unref();
  }

  get current(): T {
    return this.value;
  }

  /** Whether the last completed reading failed. */
  get failed(): boolean {
    return this.hasFailed;
  }

  /** The reading that is going on; undefined: there is none. */
  get reading(): Promise<void> | undefined {
    return this.refreshing;
  }

  /** Reads it now, or waits for the reading that is going on. Never rejects. */
  refresh(): Promise<void> {
    this.refreshing ??= this.reload().finally(() => {
      this.refreshing = undefined;
    });
    return this.refreshing;
  }

  close(): void {
    clearInterval(this.timer);
  }

  private async reload(): Promise<void> {
    const { load, loaded, complaint, fields } = this.reloading;
    try {
      const next = await load(this.value);
      const changed = next !== this.value;
      this.value = next;
      this.hasFailed = false;
      this.throttle.reset();
      loaded(next, changed);
    } catch (error) {
      this.hasFailed = true;
      const why = (error as Error).message;
      if (this.throttle.allows(why)) this.log.error({ ...fields, why }, complaint);
    }
  }
}
