import type { Database } from '../db/database';
import { read, select, sql, write } from '../db/query';
import { inTransaction } from '../db/transaction';
import { fromBinary, toBinary, type ApplicationId } from '../model/ids';
import { highestSessionNumber } from './sessions/numbers';

/**
 * Takes a block of session numbers for each of some applications, and returns the first of each. In a
 * short transaction of its own, so that the row of a counter is never held while anything else runs.
 *
 * @throws Error if one of the applications does not exist.
 */
export async function leaseBlocks(
  db: Database,
  applicationIds: readonly ApplicationId[],
  size: number,
): Promise<ReadonlyMap<ApplicationId, number>> {
  // In key order, so that two transactions lock counters in the same order.
  const ids = applicationIds.toSorted().map(toBinary);
  const starts = await advanceCounters(db, ids, size);
  if (starts) return starts;
  // Not in the transaction that locks the counters: transactions that start the same counter hold a
  // shared lock on it together.
  await startCounters(db, ids);
  const startsNow = await advanceCounters(db, ids, size);
  if (startsNow) return startsNow;
  throw new Error('there is no such application');
}

/** @returns undefined, with nothing changed, if a counter is missing. */
async function advanceCounters(
  db: Database,
  ids: readonly Buffer[],
  size: number,
): Promise<ReadonlyMap<ApplicationId, number> | undefined> {
  return inTransaction(db, async (trx) => {
    const found = await read(
      trx,
      select<{ application_id: Buffer; next_number: number }>(
        `SELECT application_id, next_number FROM session_counters FORCE INDEX (PRIMARY)
         WHERE application_id IN (?) ORDER BY application_id FOR UPDATE`,
        [ids],
      ),
    );
    if (found.length < ids.length) return undefined;
    await write(
      trx,
      sql(
        'UPDATE session_counters SET next_number = next_number + ? WHERE application_id IN (?)',
        size,
        ids,
      ),
    );
    return new Map(found.map((row) => [fromBinary(row.application_id), row.next_number]));
  });
}

/**
 * Starts the counters of applications that have none, above every number that is in use. A counter that
 * another transaction has started meanwhile stays as it is.
 *
 * @throws the database's error if an application does not exist: its counter would break the foreign key.
 */
async function startCounters(db: Database, ids: readonly Buffer[]): Promise<void> {
  await write(
    db,
    sql(
      `INSERT INTO session_counters (application_id, next_number)
       SELECT a.id, 1 + ${highestSessionNumber('a.id')}
       FROM (${ids.map(() => 'SELECT ? AS id').join(' UNION ALL ')}) a
       LEFT JOIN session_counters c ON c.application_id = a.id
       WHERE c.application_id IS NULL
       ORDER BY a.id
       ON DUPLICATE KEY UPDATE next_number = session_counters.next_number`,
      ...ids,
    ),
  );
}
