import { firstGood } from '../files/first-good';
import { errorCode } from '../model/problems';
import { databaseFailure, NotConnected, UnfitServer } from './errors';

/** Why the database can't be used, for the log. */
export interface Unreachable {
  /** The error's code. */
  readonly why: string;
  /** What the operator should check, if the code alone is misleading. */
  readonly hint?: string | undefined;
}

/** What the log says of a database's error. */
export function whyUnreachable(error: Error): Unreachable {
  const hint = error instanceof NotConnected ? error.hint : undefined;
  return { why: errorCode(error) ?? error.name, hint };
}

/**
 * Reads what the service needs from the database at startup. Waits while the database is out of reach, and
 * starts again if it fails in the middle.
 *
 * @param work may run more than once.
 * @param waiting is told why the database does not answer, for each attempt that fails.
 * @throws any other error, such as that of a server with wrong settings: waiting would not help. The signal's
 * reason if it is aborted.
 */
export function whenReachable<T>(
  work: () => Promise<T>,
  waiting: (why: Unreachable) => void,
  signal: AbortSignal,
): Promise<T> {
  return firstGood(work, {
    // Wrong settings of a server do not go away by themselves.
    passes: (error) => databaseFailure(error) !== 'other' && !(error instanceof UnfitServer),
    failed: (error) => {
      waiting(whyUnreachable(error));
    },
    signal,
  });
}
