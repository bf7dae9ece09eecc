import type { MultiDatabase } from '../db/database';
import { databaseFailure, isOutOfReach } from '../db/errors';
import { defaultRetryPolicy, type Retry, type RetryPolicy } from '../db/retry';
import type { ApplicationId } from '../model/ids';
import { ServiceError, type Reason } from '../model/problems';
import { insertRefusals, newRefusal, type NewRefusal, type Refusal } from '../store/refusals';
import type { Logger } from '../telemetry/log';
import { LogThrottle } from '../telemetry/log-throttle';
import { Batches } from '../turns/batches';
import type { ImportObserver } from './observer';

/**
 * Reasons that decide nothing about an import: the same call may succeed a moment later. There can be very
 * many such failures, mostly when the service can't take more writes.
 */
const undecided: ReadonlySet<Reason> = new Set<Reason>([
  'RATE_LIMITED',
  'KEY_SET_UNAVAILABLE',
  'OVERLOADED',
  'CONFLICT',
  'DATABASE_TOO_SLOW',
  'DATABASE_UNAVAILABLE',
  'INTERNAL',
]);

/** Whether a failure is a refusal of the import, and not an import that could not be decided. */
export function isRefusal(reason: Reason): boolean {
  return !undecided.has(reason);
}

/** Fewer tries than usual, because the caller waits until the refusal is recorded. */
const once: RetryPolicy = {
  ...defaultRetryPolicy,
  conflict: 3,
  unreachable: 1,
  'lock wait': 1,
  silent: 1,
};

/** How long a database that can't be reached, or written to, is tried again, in milliseconds. */
const patience = 3_000;

/** Survives a restart of MySQL or a broken connection. */
const patient: RetryPolicy = {
  ...once,
  unreachable: Number.POSITIVE_INFINITY,
  within: patience,
};

/**
 * The most refusals that one statement records, so that it stays below `max_allowed_packet`, and the most that
 * wait. A call whose refusal finds no room is answered with OVERLOADED instead.
 */
const batches = { size: 500, limit: 5_000 };

/**
 * Records refused imports. One statement runs at a time, on a connection of its own: neither a flood
 * of other calls nor one of refused calls delays the refusals of another application.
 */
export class RefusalRecorder {
  private readonly batches: Batches<ApplicationId, NewRefusal, undefined>;
  private readonly throttle = new LogThrottle();
  /** What was lost since the last log line about it. */
  private untold = 0;
  /** While nothing can be written, callers wait for only one try. */
  private policy = patient;

  constructor(
    private readonly db: MultiDatabase,
    private readonly retry: Retry,
    private readonly observer: Pick<ImportObserver, 'refusalsLost'>,
    private readonly log: Logger,
  ) {
    this.batches = new Batches((refusals) => this.write(refusals), batches);
  }

  /**
   * Records a refusal.
   *
   * @returns when the refusal is committed: only then may the caller be told.
   * @throws ServiceError with OVERLOADED if too many refusals wait already: then nothing is recorded.
   * @throws the database's error if it can't be written. If only the answer was lost, it is recorded all the same.
   */
  async record(refusal: Refusal): Promise<void> {
    try {
      await this.batches.add(refusal.applicationId, newRefusal(refusal));
    } catch (error) {
      // A batch that failed has been counted as a whole.
      if (error instanceof ServiceError) this.lose(1, error);
      throw error;
    }
  }

  /** Logs what has not been logged yet, since the service ends. */
  close(): void {
    if (this.untold > 0) this.logLost();
  }

  private async write(refusals: readonly NewRefusal[]): Promise<undefined[]> {
    try {
      await this.retry(() => insertRefusals(this.db, refusals), this.policy);
    } catch (error) {
      if (isOutOfReach(databaseFailure(error))) this.policy = once;
      this.lose(refusals.length, error);
      throw error;
    }
    this.policy = patient;
    this.throttle.reset();
    if (this.untold > 0) this.logLost();
    return refusals.map(() => undefined);
  }

  private lose(refusals: number, err: unknown): void {
    this.observer.refusalsLost(refusals);
    this.untold += refusals;
    if (this.throttle.allows()) this.logLost(err);
  }

  private logLost(err?: unknown): void {
    const line = { refusals: this.untold, ...(err === undefined ? {} : { err }) };
    this.log.error(line, 'could not record refused imports');
    this.untold = 0;
  }
}
