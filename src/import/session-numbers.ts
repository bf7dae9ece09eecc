import { LRUCache } from 'lru-cache';
import type { Database } from '../db/connection';
import { toBinary, type ApplicationId } from '../db/ids';
import { write } from '../db/query';

const firstBlock = 8;
const largestBlock = 512;
/** Applications whose leases are kept; a lease that is dropped leaves a gap, and gaps are allowed. */
const leasesKept = 10_000;

interface Lease {
  next: number;
  end: number;
  /** How many numbers to lease next: a busy application gets larger blocks. */
  block: number;
  /** The lease under way: whoever finds the block empty waits for the same one. */
  refill: Promise<void> | undefined;
}

/**
 * Gives out session numbers: unique per application, growing within a process, with gaps.
 *
 * Numbers are leased from the database in blocks, each in a statement of its own that commits at
 * once, so that the row of the counter is never held while an import runs: imports into one
 * application do not wait for each other, in this process or in another.
 */
export class SessionNumbers {
  private readonly leases = new LRUCache<ApplicationId, Lease>({ max: leasesKept });

  constructor(private readonly db: Database) {}

  /** The next number of an application. */
  async take(applicationId: ApplicationId): Promise<number> {
    const lease = this.leaseOf(applicationId);
    for (;;) {
      if (lease.next < lease.end) return lease.next++;
      lease.refill ??= this.refill(applicationId, lease).finally(() => {
        lease.refill = undefined;
      });
      await lease.refill;
    }
  }

  private leaseOf(applicationId: ApplicationId): Lease {
    const known = this.leases.get(applicationId);
    if (known) return known;
    const lease: Lease = { next: 0, end: 0, block: firstBlock, refill: undefined };
    this.leases.set(applicationId, lease);
    return lease;
  }

  private async refill(applicationId: ApplicationId, lease: Lease): Promise<void> {
    const start = await leaseBlock(this.db, applicationId, lease.block);
    lease.next = start;
    lease.end = start + lease.block;
    lease.block = Math.min(lease.block * 2, largestBlock);
  }
}

/**
 * Takes a block of session numbers and returns the first of them. One round trip, by the idiom of
 * the MySQL 8.4 manual, section 14.15 ("LAST_INSERT_ID(expr)"): the old value comes back as the
 * statement's insert id.
 */
export async function leaseBlock(
  db: Database,
  applicationId: ApplicationId,
  size: number,
): Promise<number> {
  const id = toBinary(applicationId);
  const lease = () =>
    write(
      db,
      `UPDATE session_counters SET next_number = LAST_INSERT_ID(next_number) + ?
       WHERE application_id = ?`,
      [size, id],
    );
  let result = await lease();
  if (result.affectedRows === 0) {
    await startCounter(db, id);
    result = await lease();
  }
  if (result.affectedRows === 0) throw new Error(`there is no application ${applicationId}`);
  return result.insertId;
}

/** Starts the counter of an application that has none, above every number that is in use. */
async function startCounter(db: Database, id: Buffer): Promise<void> {
  await write(
    db,
    `INSERT IGNORE INTO session_counters (application_id, next_number)
     SELECT a.id, 1 + GREATEST(
       COALESCE((SELECT MAX(session_number) FROM user_sessions WHERE application_id = a.id), 0),
       COALESCE((SELECT MAX(session_number) FROM business_sessions WHERE application_id = a.id), 0))
     FROM applications a WHERE a.id = ?`,
    [id],
  );
}
