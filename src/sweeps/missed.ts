import { read } from '../db/query';
import { sessionKinds } from '../model/session';
import { importedSources } from '../store/ledger/imports-of-session';
import { outdatedCopiesAmong } from '../store/ledger/outdated-copies';
import { holdSweep } from '../store/sweeps';
import { sliceOfLedger, type Sweep } from './sweep';
import { updateCopies } from './update';

/**
 * The sweep for changes that the quick one has missed, because they were committed long after their `updated_at`. It
 * goes through the ledger, and compares which version each application has. An import that does not say so gets the
 * version of its source, and nobody is told: it may have had that. Behind the last entry, the sweep starts again. A step
 * costs the same, however long the ledger is.
 */
export const missedSweep: Sweep = {
  name: 'missed',
  async step(trx, place) {
    const page = { size: sliceOfLedger, after: place ?? undefined };
    const { items, end } = await read(trx, importedSources(page));
    for (const kind of sessionKinds) {
      const entries = items
        .filter((source) => source.kind === kind)
        .map(({ importedBy, sessionId }) => ({
          applicationId: importedBy,
          sourceSessionId: sessionId,
        }));
      if (entries.length === 0) continue;
      const outdated = outdatedCopiesAmong(kind, entries);
      if ((await read(trx, outdated)).length === 0) continue;
      // The quick sweep may have told of them meanwhile. From here on it can't.
      const passed = (await read(trx, holdSweep(`changed ${kind}`)))?.[0];
      const copies = (await read(trx, outdated)).filter(
        // Whether an import without a version is told of a change is for the quick sweep to say.
        ({ state, version }) => state === 'outdated' || (passed !== undefined && version < passed),
      );
      await updateCopies(trx, kind, copies, ({ state }) => state === 'outdated');
    }
    return { place: end ?? null, more: false };
  },
};
