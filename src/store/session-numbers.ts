import type { Database } from '../db/database';
import { read, select, sql, write } from '../db/query';
import { inTransaction } from '../db/transaction';
import { fromBinary, toBinary, type ApplicationId } from '../model/ids';
import type { KindSchema } from '../model/relations';
import { highestSessionNumber } from '../model/session';
import { highestNumberInUse, tablesOfOtherKinds } from './sessions/numbers';

/**
 * Takes a block of session numbers for each of some applications, and returns the first of each. In a
 * short transaction of its own, so that the row of a counter is never held while anything else runs.
 *
 * A block starts above every number in use: a failover or a restored backup may have set the counter back.
 *
 * @throws Error if one of the applications does not exist, or has too few numbers left below
 * {@link highestSessionNumber}.
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

/**
 * SQL for the number of a new session `n`, or null if it can't have that number: if a session of another kind has
 * it, or if the counter has never given it out. The second means that a failover has set the counter back, so that
 * it will later give the number to somebody else.
 *
 * @param schema of the new session.
 * @returns the number, and the joins that it needs. They cost half of what subqueries do.
 */
export function usableNumber(schema: KindSchema): {
  readonly number: string;
  readonly joins: string;
} {
  const others = tablesOfOtherKinds(schema).map((sessions, index) => ({
    sessions,
    alias: `other${index}`,
  }));
  const refused = [
    'c.application_id IS NULL',
    ...others.map(({ alias }) => `${alias}.id IS NOT NULL`),
  ];
  return {
    number: `IF(${refused.join(' OR ')}, NULL, n.session_number)`,
    joins: [
      `LEFT JOIN session_counters c
         ON c.application_id = n.application_id AND c.next_number > n.session_number`,
      ...others.map(
        ({ sessions, alias }) =>
          `LEFT JOIN ${sessions} ${alias}
             ON ${alias}.application_id = n.application_id AND ${alias}.session_number = n.session_number`,
      ),
    ].join('\n'),
  };
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
      select<{ application_id: Buffer; first: number }>(
        `SELECT application_id,
                CAST(GREATEST(next_number, 1 + ${highestNumberInUse('c.application_id')}) AS UNSIGNED) AS first
         FROM session_counters c FORCE INDEX (PRIMARY)
         WHERE application_id IN (?) ORDER BY application_id FOR UPDATE`,
        [ids],
      ),
    );
    if (found.length < ids.length) return undefined;
    const starts = new Map(
      found.map((row) => [fromBinary<ApplicationId>(row.application_id), row.first]),
    );
    for (const [id, first] of starts) requireNumbers(id, first, size);
    await write(
      trx,
      sql(
        `UPDATE session_counters
         SET next_number = CASE application_id ${found.map(() => 'WHEN ? THEN ?').join(' ')} END
         WHERE application_id IN (?)`,
        ...found.flatMap((row) => [row.application_id, row.first + size]),
        ids,
      ),
    );
    return starts;
  });
}

/** @param first from 2^53 on, the number may not be exact, but it is too high in any case. */
function requireNumbers(id: ApplicationId, first: number, size: number): void {
  if (first <= highestSessionNumber + 1 - size) return;
  throw new Error(
    `application ${id} has no session numbers left: its next_number in session_counters is too high`,
  );
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
       SELECT a.id, 1 + ${highestNumberInUse('a.id')}
       FROM (${ids.map(() => 'SELECT ? AS id').join(' UNION ALL ')}) a
       LEFT JOIN session_counters c ON c.application_id = a.id
       WHERE c.application_id IS NULL
       ORDER BY a.id
       ON DUPLICATE KEY UPDATE next_number = session_counters.next_number`,
      ...ids,
    ),
  );
}

/**
 * Makes sure that the server lets this service write. The statement inserts nothing, but needs the same as every
 * import: the rights to read, insert and update, a server that is not read-only, and in Galera a majority.
 *
 * @throws the database's error if one of them is missing.
 */
export async function requireWritable(db: Database): Promise<void> {
  await write(
    db,
    sql(
      `INSERT INTO session_counters (application_id, next_number)
       SELECT c.application_id, c.next_number FROM session_counters c WHERE FALSE
       ON DUPLICATE KEY UPDATE next_number = c.next_number`,
    ),
  );
}
