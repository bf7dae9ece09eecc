import type { Cursor } from '../db/cursor';
import type { MultiDatabase, TransactionOf } from '../db/database';
import { read, write } from '../db/query';
import { inTransaction } from '../db/transaction';
import {
  prepareSweep,
  storeSweep,
  sweepPrepared,
  takeSweep,
  type SweepName,
} from '../store/sweeps';

/** What a step of a sweep comes to. */
export interface Step {
  /** Where the next step goes on; null: from the beginning. */
  readonly place: Cursor | null;
  /** Whether the next step can follow at once. */
  readonly more: boolean;
}

/** A look at sessions that goes on step by step. */
export interface Sweep {
  readonly name: SweepName;
  /**
   * Takes a step.
   *
   * @param place where it goes on; null: from the beginning.
   * @param mostCopies after how many copies it ends early, told or not, so that its transaction stays small. All copies
   * of one session are in one transaction, so a step can go beyond this by those of its last session.
   */
  step(trx: TransactionOf<MultiDatabase>, place: Cursor | null, mostCopies: number): Promise<Step>;
}

/** The entries of the ledger that a step of a sweep through it looks at. */
export const sliceOfLedger = 500;

/** After how many copies a step ends. */
const copiesOfStep = 5_000;

/**
 * Takes a step of a sweep in a transaction, unless another process takes one, or has taken one during the pause. So a
 * process can be killed at any moment, and more processes do not make a sweep faster.
 *
 * @param pause between two steps, in milliseconds.
 * @returns whether there is more to be done at once.
 */
export async function takeStep(
  db: MultiDatabase,
  sweep: Sweep,
  pause: number,
  mostCopies = copiesOfStep,
): Promise<boolean> {
  const { name } = sweep;
  if (!(await read(db, sweepPrepared(name)))) await write(db, prepareSweep(name));
  return inTransaction(db, async (trx) => {
    const from = await read(trx, takeSweep(name, pause));
    if (from === undefined) return false;
    const { place, more } = await sweep.step(trx, from, mostCopies);
    await write(trx, storeSweep(name, place, more ? 0 : pause));
    return more;
  });
}
