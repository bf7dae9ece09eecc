import type { Database } from '../db/database';
import type { Retry, RetryPolicy } from '../db/retry';
import type { Reason } from '../model/problems';
import { insertRefusals, newRefusal, type NewRefusal, type Refusal } from '../store/refusals';
import type { Logger } from '../telemetry/log';
import { LogThrottle } from '../telemetry/log-throttle';

/**
 * Reasons that decide nothing about an attempt: the same one may succeed a moment later. There can be
 * very many, and most when the service can least do with more to write.
 */
const undecided: ReadonlySet<Reason> = new Set<Reason>([
  'RATE_LIMITED',
  'OVERLOADED',
  'CONFLICT',
  'DATABASE_UNAVAILABLE',
  'INTERNAL',
]);

/** Whether a failure says that an import is refused, rather than that it could not be tried. */
export function isRefusal(reason: Reason): boolean {
  return !undecided.has(reason);
}

/** The caller waits meanwhile, so fewer tries than usual. */
const policy: RetryPolicy = { conflict: 3, unreachable: 2, 'lock wait': 1, other: 1 };

/** How many refusals one statement records at most: it must stay below `max_allowed_packet`. */
const refusalsPerStatement = 500;

interface Waiting {
  readonly refusal: NewRefusal;
  readonly done: () => void;
}

/**
 * Records refused imports. One statement runs at a time, and all that come meanwhile wait for the next:
 * a storm of refused calls takes one connection, and few commits.
 */
export class RefusalRecorder {
  private waiting: Waiting[] = [];
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
   * @returns once it is committed; or could not be written, which the log says, since the caller is
   * refused all the same. Never rejects.
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
