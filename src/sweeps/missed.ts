import { read } from '../db/query';
import { sessionKinds } from '../model/session';
import { importedSources } from '../store/ledger/imports-of-session';
import { outdatedCopiesAmong } from '../store/ledger/outdated-copies';
import { holdSweep } from '../store/sweeps';
import { sliceOfLedger, type Sweep } from './sweep';
import { tellOfChanges } from './tell';

/**
 * The sweep for changes that the quick one has missed, because they were committed long after their `updated_at`. It
 * goes through the ledger, and compares which version each application has. Behind the last entry, it starts again. A
 * step costs the same, however long the ledger is.
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
      await read(trx, holdSweep(`changed ${kind}`));
      await tellOfChanges(trx, kind, await read(trx, outdated));
    }
    return { place: end ?? null, more: false };
  },
};
