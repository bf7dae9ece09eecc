import type { Database } from '../db/database';
import { defaultRetryPolicy, type Retry, type RetryPolicy } from '../db/retry';
import type { ApplicationId } from '../model/ids';
import type { Reason } from '../model/problems';
import { insertRefusals, newRefusal, type NewRefusal, type Refusal } from '../store/refusals';
import type { Logger } from '../telemetry/log';
import { LogThrottle } from '../telemetry/log-throttle';
import { Batches } from '../turns/batches';

/**
 * Reasons that decide nothing about an attempt: the same attempt may succeed a moment later. There
 * can be very many of them, and mostly when the service can't take more writes.
 */
const undecided: ReadonlySet<Reason> = new Set<Reason>([
  'RATE_LIMITED',
  'OVERLOADED',
  'CONFLICT',
  'DATABASE_TOO_SLOW',
  'DATABASE_UNAVAILABLE',
  'INTERNAL',
]);

/** Whether a failure is a refusal of the import, and not a try that could not be finished. */
export function isRefusal(reason: Reason): boolean {
  return !undecided.has(reason);
}

/** Fewer tries than usual, because the caller waits until the refusal is recorded. */
const policy: RetryPolicy = {
  ...defaultRetryPolicy,
  conflict: 3,
  unreachable: 2,
  'lock wait': 1,
  silent: 1,
};

/**
 * The most refusals that one statement records: it must stay below `max_allowed_packet`. And the most that
 * wait: a call whose refusal finds no room is answered with OVERLOADED instead.
 */
const batches = { size: 500, limit: 5_000 };

/**
 * Records refused imports. One statement runs at a time, on a connection of its own: neither a flood
 * of other calls nor one of refused calls delays the refusals of another application.
 */
export class RefusalRecorder {
  private readonly batches: Batches<ApplicationId, NewRefusal, undefined>;
  private readonly throttle = new LogThrottle();

  constructor(
    private readonly db: Database,
    private readonly retry: Retry,
    private readonly log: Logger,
  ) {
    this.batches = new Batches((refusals) => this.write(refusals), batches);
  }

  /**
   * Records a refusal.
   *
   * @returns when the refusal is committed. If it can't be written, the log says so, and the caller
   * is refused all the same.
   * @throws ServiceError with OVERLOADED if too many refusals wait already: then nothing is recorded.
   */
  async record(refusal: Refusal): Promise<void> {
    await this.batches.add(refusal.applicationId, newRefusal(refusal));
  }

  private async write(refusals: readonly NewRefusal[]): Promise<undefined[]> {
    try {
      await this.retry(() => insertRefusals(this.db, refusals), policy);
      this.throttle.reset();
    } catch (err) {
      if (this.throttle.allows()) {
        this.log.error({ refusals: refusals.length, err }, 'could not record refused imports');
      }
    }
    return refusals.map(() => undefined);
  }
}
