import { LRUCache } from 'lru-cache';
import type { Database } from '../db/connection';
import { databaseFailure } from '../db/errors';
import { fromBinary, toBinary, type ApplicationId } from '../model/ids';
import { read, write } from '../db/query';
import { retrying, triesOfGroup, usualTries } from '../db/retry';
import { unobserved, type ImportObserver } from './observer';

/** Numbers that are leased at once for an application, at least. */
const blockSize = 64;

/** Applications whose leases are kept; a lease that is dropped leaves a gap, and gaps are allowed. */
const leasesKept = 10_000;

interface Lease {
  next: number;
  end: number;
}

/**
 * Gives out session numbers: unique per application, with gaps, and higher from call to call, but for
 * calls that run at the same time.
 *
 * Numbers are leased from the database in blocks, in a short transaction of their own, so that the
 * row of a counter is never held while an import runs: imports into one application do not wait for
 * each other, in this process or in another.
 */
export class SessionNumbers {
  private readonly leases = new LRUCache<ApplicationId, Lease>({ max: leasesKept });

  constructor(
    private readonly db: Database,
    private readonly observer: ImportObserver = unobserved,
  ) {}

  /**
   * A number for each of some imports, in their order.
   *
   * @param applicationIds the importing application of each import.
   * @returns for an import whose number can't be had, why.
   */
  async take(applicationIds: readonly ApplicationId[]): Promise<(number | Error)[]> {
    const numbers = applicationIds.map((id) => this.next(id));
    const missing = new Set(applicationIds.filter((_, index) => numbers[index] === undefined));
    const size = Math.max(blockSize, applicationIds.length);
    const blocks = await this.lease([...missing], size);

    const taken = applicationIds.map((id, index) => numbers[index] ?? takeFrom(blocks.get(id)));
    // What is left is for the imports to come.
    for (const [id, block] of blocks) if (!(block instanceof Error)) this.keep(id, block);
    return taken;
  }

  /** Of two blocks that were leased at the same time, the later one stays: numbers do not go back. */
  private keep(id: ApplicationId, block: Lease): void {
    const kept = this.leases.get(id);
    if (!kept || kept.next < block.next) this.leases.set(id, block);
  }

  private next(id: ApplicationId): number | undefined {
    const lease = this.leases.get(id);
    return lease && lease.next < lease.end ? lease.next++ : undefined;
  }

  /** Leases for all at once; if that fails, for each by itself, so that one can't fail the others. */
  private async lease(
    ids: readonly ApplicationId[],
    size: number,
  ): Promise<Map<ApplicationId, Lease | Error>> {
    if (ids.length === 0) return new Map();
    try {
      const tries = ids.length === 1 ? usualTries : triesOfGroup;
      const starts = await retrying(
        () => leaseBlocks(this.db, ids, size),
        tries,
        (failure) => {
          this.observer.retried(failure);
        },
      );
      return new Map([...starts].map(([id, next]) => [id, { next, end: next + size }]));
    } catch (error) {
      if (ids.length === 1 || databaseFailure(error) === 'unreachable') {
        return new Map(ids.map((id) => [id, error as Error]));
      }
      const blocks = new Map<ApplicationId, Lease | Error>();
      for (const id of ids) for (const block of await this.lease([id], size)) blocks.set(...block);
      return blocks;
    }
  }
}

function takeFrom(block: Lease | Error | undefined): number | Error {
  if (block === undefined) return new Error('no session numbers were leased');
  return block instanceof Error ? block : block.next++;
}

/**
 * Takes a block of session numbers for each of some applications, and returns the first of each.
 *
 * @throws Error if one of the applications does not exist.
 */
export async function leaseBlocks(
  db: Database,
  applicationIds: readonly ApplicationId[],
  size: number,
): Promise<Map<ApplicationId, number>> {
  // In key order, so that two transactions lock counters in the same order.
  const ids = applicationIds.toSorted().map(toBinary);
  const starts = await advanceCounters(db, ids, size);
  if (starts) return starts;
  // Not in the transaction that locks the counters: it shares a lock with whoever starts the same counter.
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
): Promise<Map<ApplicationId, number> | undefined> {
  return db.transaction(async (trx) => {
    const rows = await read<{ application_id: Buffer; next_number: number }>(
      trx,
      `SELECT application_id, next_number FROM session_counters FORCE INDEX (PRIMARY)
       WHERE application_id IN (?) ORDER BY application_id FOR UPDATE`,
      [ids],
    );
    if (rows.length < ids.length) return undefined;
    await write(
      trx,
      'UPDATE session_counters SET next_number = next_number + ? WHERE application_id IN (?)',
      [size, ids],
    );
    return new Map(rows.map((row) => [fromBinary(row.application_id), row.next_number]));
  });
}

/** Starts the counters of applications that have none, above every number that is in use. */
async function startCounters(db: Database, ids: readonly Buffer[]): Promise<void> {
  await write(
    db,
    `INSERT IGNORE INTO session_counters (application_id, next_number)
     SELECT a.id, 1 + GREATEST(
       COALESCE((SELECT MAX(session_number) FROM user_sessions WHERE application_id = a.id), 0),
       COALESCE((SELECT MAX(session_number) FROM business_sessions WHERE application_id = a.id), 0))
     FROM applications a LEFT JOIN session_counters c ON c.application_id = a.id
     WHERE a.id IN (?) AND c.application_id IS NULL
     ORDER BY a.id`,
    [ids],
  );
}
