import { databaseTime } from '../db/clock';
import { read } from '../db/query';
import { newId } from '../model/ids';
import { importedSources } from '../store/ledger/imports-of-session';
import { sessionsOfAnyone } from '../store/sessions/erase';
import { enterWithdrawal, toldAsErased } from '../store/withdrawals/chain';
import { sliceOfLedger, type Sweep } from './sweep';

/**
 * The sweep for sessions that the platform has deleted without an erasure. It goes through the ledger, and withdraws the
 * sessions that are gone, so that everybody who has a copy is told. Behind the last entry, it starts again. A step costs
 * the same, however long the ledger is.
 *
 * After a step that has ended early, the next one looks at the same slice again, and skips the sessions that were
 * withdrawn.
 */
export const goneSweep: Sweep = {
  name: 'gone',
  async step(trx, place, mostCopies) {
    const page = { size: sliceOfLedger, after: place ?? undefined };
    const { items, end } = await read(trx, importedSources(page));
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
        if (copies >= mostCopies) return { place, more: true };
        // There is no row to lock: nobody can import a session that is not there.
        copies += await enterWithdrawal(trx, {
          ...{ id: newId(), sessionId: id, applicationId: source.applicationId, kind: source.kind },
          ...{ reason: 'erased', at, actor: null },
        });
      }
    }
    return { place: end ?? null, more: false };
  },
};
