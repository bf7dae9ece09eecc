import { firstGood } from '../files/first-good';
import { errorCode } from '../model/problems';
import { databaseFailure, UnfitServer } from './errors';

/**
 * Reads what the service needs of the database to start. Waits while the database is out of reach, and
 * begins anew if it goes away in the middle.
 *
 * @param work may run more than once.
 * @param waiting is told why the database does not answer, for each attempt that fails.
 * @throws any other error, such as that of a server that is set otherwise: waiting would not help. The
 * signal's reason if it is aborted.
 */
export function whenReachable<T>(
  work: () => Promise<T>,
  waiting: (why: string) => void,
  signal: AbortSignal,
): Promise<T> {
  return firstGood(work, {
    // What a server is set to does not pass by itself.
    passes: (error) => databaseFailure(error) !== 'other' && !(error instanceof UnfitServer),
    failed: (error) => {
      waiting(errorCode(error) ?? error.name);
    },
    signal,
  });
}
