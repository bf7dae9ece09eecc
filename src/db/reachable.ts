import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from './connection';
import { databaseErrorCode, databaseFailure } from './errors';
import { read } from './query';

/** How long to wait between two attempts, in milliseconds. */
const pause = 1_000;

/**
 * Waits until the database answers.
 *
 * @param waiting is told why it does not answer, for each attempt that fails.
 * @throws whatever else is wrong, such as a password: waiting would not cure it.
 */
export async function untilReachable(db: Database, waiting: (why: string) => void): Promise<void> {
  for (;;) {
    try {
      await read(db, 'SELECT 1', []);
      return;
    } catch (error) {
      if (databaseFailure(error) !== 'unreachable') throw error;
      waiting(databaseErrorCode(error as Error) ?? (error as Error).name);
      await sleep(pause);
    }
  }
}
