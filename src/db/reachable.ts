import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from './database';
import { errorCode } from '../model/problems';
import { databaseFailure, isOutOfReach } from './errors';
import { read, select } from './query';

/** How long to wait between two attempts, in milliseconds. */
const retryDelay = 1_000;

/**
 * Waits until the database answers.
 *
 * @param waiting is told why it does not answer, for each attempt that fails.
 * @throws any other error, such as a wrong password: waiting would not help.
 */
export async function untilReachable(db: Database, waiting: (why: string) => void): Promise<void> {
  for (;;) {
    try {
      await read(db, select('SELECT 1', []));
      return;
    } catch (error) {
      if (!isOutOfReach(databaseFailure(error))) throw error;
      waiting(errorCode(error as Error) ?? (error as Error).name);
      await sleep(retryDelay);
    }
  }
}
