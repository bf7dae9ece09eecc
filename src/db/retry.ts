import { setTimeout as sleep } from 'node:timers/promises';
import { databaseFailure, type DatabaseFailure } from './errors';

/** The most tries, by the kind of failure. */
export type RetryPolicy = Readonly<Record<DatabaseFailure, number>> & {
  /** How long after the first try the last one may begin, in milliseconds; undefined: it does not matter. */
  readonly within?: number;
};

/** The usual policy for what writes. Groups of several calls have their own. */
export const defaultRetryPolicy: RetryPolicy = {
  conflict: 5,
  unreachable: 5,
  'lock wait': 2,
  // Each try takes as long as the read timeout, or the connect timeout.
  silent: 2,
  'too slow': 1,
  'too large': 1,
  other: 1,
};

/** For reads: after a read timeout, the caller has waited long enough, and the database is busy enough. */
export const readRetryPolicy: RetryPolicy = { ...defaultRetryPolicy, silent: 1 };

/** For a group of calls for several sessions. It waits for a lock only once, and is then split up. */
export const groupRetryPolicy: RetryPolicy = { ...defaultRetryPolicy, 'lock wait': 1 };

/** The longest pause before the second try, in milliseconds; it doubles from try to try. */
const initialBackoff = 20;

/**
 * Runs work on the database, and retries it as often as the policy allows for the failure. The
 * pauses grow and have jitter. Without a policy, {@link defaultRetryPolicy} applies.
 */
export type Retry = <T>(work: () => Promise<T>, policy?: RetryPolicy) => Promise<T>;

/** @param retried is called for each failure after which the work is tried again. */
export function createRetry(retried: (failure: DatabaseFailure) => void): Retry {
  return async (work, policy = defaultRetryPolicy) => {
    const until = performance.now() + (policy.within ?? Number.POSITIVE_INFINITY);
    for (let attempt = 1; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        const failure = databaseFailure(error);
        const pause = Math.random() * initialBackoff * 2 ** (attempt - 1);
        if (attempt >= policy[failure] || performance.now() + pause > until) throw error;
        retried(failure);
        await sleep(pause);
      }
    }
  };
}
