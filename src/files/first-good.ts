import { setTimeout as sleep } from 'node:timers/promises';

/** How something is waited for that is not there yet. */
export interface Waiting {
  /** Whether the failure may pass by itself. */
  readonly passes: (error: Error) => boolean;
  /** Called for each attempt that has failed with an error that may pass. */
  readonly failed: (error: Error) => void;
  /** Ends the waiting. */
  readonly signal: AbortSignal;
}

/** How long to wait between two attempts, in milliseconds. */
const retryDelay = 1_000;

/**
 * Does work that needs what other machines have, such as the first reading of something: again and again
 * until it works.
 *
 * @throws the error of the work, if waiting would not help; the signal's reason, as soon as it is aborted,
 * also if an attempt hangs.
 */
export async function firstGood<T>(
  work: () => Promise<T>,
  { passes, failed, signal }: Waiting,
): Promise<T> {
  for (;;) {
    try {
      return await unlessAborted(work, signal);
    } catch (cause) {
      const error = cause as Error;
      if (signal.aborted || !passes(error)) throw error;
      failed(error);
      await sleep(retryDelay, undefined, { signal }).catch(() => undefined);
    }
  }
}

/**
 * Does work, and no longer waits for it once the signal is aborted.
 *
 * @throws the signal's reason if it is aborted before the work has ended.
 */
export function unlessAborted<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const abort = (): void => {
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', abort);
    work()
      .then(resolve, reject)
      .finally(() => {
        signal.removeEventListener('abort', abort);
      });
  });
}
