import type { Database } from '../db/database';
import type { Retry, RetryPolicy } from '../db/retry';
import type { Reason } from '../model/problems';
import { insertRefusals, newRefusal, type NewRefusal, type Refusal } from '../store/refusals';
import type { Logger } from '../telemetry/log';
import { LogThrottle } from '../telemetry/log-throttle';

/**
 * Reasons that decide nothing about an attempt: the same attempt may succeed a moment later. There
 * can be very many of them, and mostly when the service can't take more writes.
 */
const undecided: ReadonlySet<Reason> = new Set<Reason>([
  'RATE_LIMITED',
  'OVERLOADED',
  'CONFLICT',
  'DATABASE_UNAVAILABLE',
  'INTERNAL',
]);

/** Whether a failure is a refusal of the import, and not a try that could not be finished. */
export function isRefusal(reason: Reason): boolean {
  return !undecided.has(reason);
}

/** Fewer tries than usual, because the caller waits until the refusal is recorded. */
const policy: RetryPolicy = { conflict: 3, unreachable: 2, 'lock wait': 1, other: 1 };

/** How many refusals one statement records at most: it must stay below `max_allowed_packet`. */
const refusalsPerStatement = 500;

interface PendingRefusal {
  readonly refusal: NewRefusal;
  readonly done: () => void;
}

/**
 * Records refused imports. One statement runs at a time. Refusals that arrive meanwhile go into the
 * next statement, so a flood of refused calls takes one connection and few commits.
 */
export class RefusalRecorder {
  private waiting: PendingRefusal[] = [];
  private writing = false;
  private readonly throttle = new LogThrottle();

  constructor(
    private readonly db: Database,
    private readonly retry: Retry,
    private readonly log: Logger,
  ) {}

  /**
   * Records a refusal.
   *
   * @returns when the refusal is committed. If it can't be written, the log says so, and the caller
   * is refused all the same. Never rejects.
   */
  record(refusal: Refusal): Promise<void> {
    return new Promise((done) => {
      this.waiting.push({ refusal: newRefusal(refusal), done });
      if (!this.writing) void this.writeAll();
    });
  }

  private async writeAll(): Promise<void> {
    this.writing = true;
    while (this.waiting.length > 0) {
      const next = this.waiting.splice(0, refusalsPerStatement);
      await this.write(next.map(({ refusal }) => refusal));
      for (const { done } of next) done();
    }
    this.writing = false;
  }

  private async write(refusals: readonly NewRefusal[]): Promise<void> {
    try {
      await this.retry(() => insertRefusals(this.db, refusals), policy);
      this.throttle.reset();
    } catch (err) {
      if (!this.throttle.allows()) return;
      this.log.error({ refusals: refusals.length, err }, 'could not record refused imports');
    }
  }
}
