import { databaseTime } from '../db/clock';
import { pagesOf } from '../db/cursor';
import type { MultiDatabase, TransactionOf } from '../db/database';
import { read } from '../db/query';
import type { SessionId } from '../model/ids';
import type { SessionKind } from '../model/session';
import { importedSessions } from '../store/ledger/imports-of-session';
import { comparedCopiesOf } from '../store/ledger/outdated-copies';
import { changedSessions, placeOfChanges } from '../store/sessions/changed';
import type { Sweep } from './sweep';
import { updateCopies } from './update';

/** The most sessions of a step, and the most copies that one row of the outbox tells of. */
const atOnce = 500;

/**
 * The sweep for changed sessions: tells the applications that have imported another version of them. It goes through
 * the changes in the order of their times, and looks at each once, so it is quick. A new sweep starts with the changes
 * that are made from now on.
 */
export function changedSweep(kind: SessionKind): Sweep {
  return {
    name: `changed ${kind}`,
    async step(trx, place, mostCopies) {
      const from = place ?? placeOfChanges(await read(trx, databaseTime()));
      const { items, end } = await read(trx, changedSessions(kind, from, atOnce));
      const ids = items.map(({ id }) => id);
      const imported = ids.length > 0 ? await read(trx, importedSessions(ids)) : new Set();
      let copies = 0;
      for (const { id, place: behind } of items) {
        if (imported.has(id)) copies += await lookAt(trx, kind, id);
        if (copies >= mostCopies)
          return { place: behind, more: end !== undefined || id !== ids.at(-1) };
      }
      // A new sweep also stores where it starts: the next step must not start later.
      return { place: items.at(-1)?.place ?? from, more: end !== undefined };
    },
  };
}

/** @returns how many copies of a session it has looked at, told or not. */
async function lookAt(
  trx: TransactionOf<MultiDatabase>,
  kind: SessionKind,
  source: SessionId,
): Promise<number> {
  let looked = 0;
  const pages = pagesOf(atOnce, (page) => read(trx, comparedCopiesOf(kind, source, page)));
  for await (const copies of pages) {
    const outdated = copies.filter(({ state }) => state !== 'current');
    await updateCopies(trx, kind, outdated, ({ state }) => state !== 'unknown');
    looked += copies.length;
  }
  return looked;
}
