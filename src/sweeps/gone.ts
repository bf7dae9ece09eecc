import { databaseTime } from '../db/clock';
import type { MultiDatabase } from '../db/database';
import { read, write } from '../db/query';
import { inTransaction } from '../db/transaction';
import { newId } from '../model/ids';
import { importedSources } from '../store/ledger/imports-of-session';
import { sessionsOfAnyone } from '../store/sessions/erase';
import { storeSweep, takeSweep } from '../store/sweeps';
import { enterWithdrawal, toldAsErased } from '../store/withdrawals/chain';
import { copiesOfStep } from './limits';

/** The entries of the ledger that a step looks at. */
const slice = 500;

/**
 * Takes a step of the sweep for sessions that the platform has deleted without an erasure. The step looks at a slice of
 * the ledger, and withdraws the sessions that are gone, so that everybody who has a copy is told. Behind the last entry,
 * the sweep starts again. A step costs the same, however long the ledger is.
 *
 * The step ends early when it has entered enough copies. So its transaction stays small, unless one session alone has
 * more. The next step looks at the same slice again, and skips the sessions that were withdrawn.
 *
 * @param mostCopies after how many copies the step ends.
 * @returns whether it has ended early.
 */
export function sweepGone(db: MultiDatabase, mostCopies = copiesOfStep): Promise<boolean> {
  return inTransaction(db, async (trx) => {
    const place = await read(trx, takeSweep('gone'));
    if (place === undefined) return false;
    const { items, end } = await read(
      trx,
      importedSources({ size: slice, after: place ?? undefined }),
    );
    const sources = new Map(items.map((source) => [source.sessionId, source]));
    const ids = [...sources.keys()];
    if (ids.length > 0) {
      const there = await read(trx, sessionsOfAnyone(ids));
      const gone = ids.filter((id) => !there.has(id));
      const told = gone.length > 0 ? await read(trx, toldAsErased(gone)) : new Set();
      const at = await read(trx, databaseTime());
      let copies = 0;
      for (const id of gone) {
        const source = sources.get(id);
        if (!source || told.has(id)) continue;
        if (copies >= mostCopies) return true;
        // There is no row to lock: nobody can import a session that is not there.
        copies += await enterWithdrawal(trx, {
          ...source,
          id: newId(),
          reason: 'erased',
          at,
          actor: null,
        });
      }
    }
    await write(trx, storeSweep('gone', end ?? null));
    return false;
  });
}
