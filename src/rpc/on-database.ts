import type { Database } from '../db/connection';
import { retrying, usualTries } from '../db/retry';
import type { Context } from './context';

/** Does a call's work on the database, and does it again as long as its failure is worth it. */
export function onDatabase<T>(
  { db, observer }: Context,
  work: (db: Database) => Promise<T>,
): Promise<T> {
  return retrying(
    () => work(db),
    usualTries,
    (failure) => {
      observer.retried(failure);
    },
  );
}
