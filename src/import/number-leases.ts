import { LRUCache } from 'lru-cache';
import type { Database } from '../db/database';
import { databaseFailure, isOutOfReach } from '../db/errors';
import { defaultRetryPolicy, groupRetryPolicy, type Retry } from '../db/retry';
import type { ApplicationId } from '../model/ids';
import { leaseBlocks } from '../store/session-numbers';

/** The smallest block of numbers that is leased for an application. */
const blockSize = 64;

/** Applications whose leases are kept; a lease that is dropped leaves a gap, and gaps are allowed. */
const leasesKept = 10_000;

/** Numbers that this process may give out: from `next` on, less than `end`. */
interface Lease {
  next: number;
  end: number;
}

/**
 * Gives out session numbers. They are unique per application and may have gaps. They grow from call
 * to call, except between calls that run at the same time.
 *
 * Numbers are leased from the database in blocks, in a short transaction of their own, so that the
 * row of a counter is never held while an import runs: imports into one application do not wait for
 * each other, in this process or in another.
 */
export class NumberLeases {
  private readonly leases = new LRUCache<ApplicationId, Lease>({ max: leasesKept });

  constructor(
    private readonly db: Database,
    private readonly retry: Retry,
  ) {}

  /**
   * Takes one number for each import, in the order of the imports.
   *
   * @param applicationIds the importing application of each import.
   * @returns a number for each import, or the error that says why there is none.
   */
  async take(applicationIds: readonly ApplicationId[]): Promise<(number | Error)[]> {
    const numbers = applicationIds.map((id) => this.next(id));
    const missing = new Set(applicationIds.filter((_, index) => numbers[index] === undefined));
    const size = Math.max(blockSize, applicationIds.length);
    const blocks = await this.lease([...missing], size);

    const taken = applicationIds.map((id, index) => numbers[index] ?? takeFrom(blocks.get(id)));
    // The rest of the block is for later imports.
    for (const [id, block] of blocks) if (!(block instanceof Error)) this.keep(id, block);
    return taken;
  }

  /**
   * Takes numbers like {@link take}, but from new blocks, because the database has refused a number: after a
   * failover, or if somebody has set a counter back, the leased numbers are not valid any more.
   */
  async takeAnew(applicationIds: readonly ApplicationId[]): Promise<(number | Error)[]> {
    for (const id of applicationIds) this.leases.delete(id);
    return this.take(applicationIds);
  }

  /** Keeps the later of two blocks that were leased at the same time: numbers do not go back. */
  private keep(id: ApplicationId, block: Lease): void {
    const kept = this.leases.get(id);
    if (!kept || kept.next < block.next) this.leases.set(id, block);
  }

  private next(id: ApplicationId): number | undefined {
    const lease = this.leases.get(id);
    return lease && lease.next < lease.end ? lease.next++ : undefined;
  }

  /**
   * Leases for all applications at once. If that fails, leases for each alone, so that one can't fail the others.
   */
  private async lease(
    ids: readonly ApplicationId[],
    size: number,
  ): Promise<Map<ApplicationId, Lease | Error>> {
    if (ids.length === 0) return new Map();
    try {
      const policy = ids.length === 1 ? defaultRetryPolicy : groupRetryPolicy;
      const starts = await this.retry(() => leaseBlocks(this.db, ids, size), policy);
      return new Map([...starts].map(([id, next]) => [id, { next, end: next + size }]));
    } catch (error) {
      if (ids.length === 1 || isOutOfReach(databaseFailure(error))) {
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
