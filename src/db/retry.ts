import { setTimeout as sleep } from 'node:timers/promises';
import { databaseFailure, type DatabaseFailure } from './errors';

/** How often something is tried, by what it fails with. */
export type RetryPolicy = Readonly<Record<DatabaseFailure, number>>;

/** For what is tried on its own account. */
export const defaultRetryPolicy: RetryPolicy = {
  conflict: 5,
  unreachable: 5,
  'lock wait': 2,
  other: 1,
};

/** For a group, which waits for a lock once: it is better taken apart than tried again. */
export const groupRetryPolicy: RetryPolicy = { ...defaultRetryPolicy, 'lock wait': 1 };

/** The longest pause before the second try, in milliseconds; it doubles from try to try. */
const firstPause = 20;

/**
 * Does something on the database, and does it again, with pauses that grow and jitter, as long as its
 * policy says that the failure is worth it. Without a policy, {@link defaultRetryPolicy} holds.
 */
export type Retry = <T>(work: () => Promise<T>, policy?: RetryPolicy) => Promise<T>;

/** @param retried is told of each failure that is worth another try. */
export function createRetry(retried: (failure: DatabaseFailure) => void): Retry {
  return async (work, policy = defaultRetryPolicy) => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        const failure = databaseFailure(error);
        if (attempt >= policy[failure]) throw error;
        retried(failure);
        await sleep(Math.random() * firstPause * 2 ** (attempt - 1));
      }
    }
  };
}
