import type { MultiDatabase, TransactionOf } from '../db/database';
import { read, writeTogether } from '../db/query';
import { newEvent } from '../model/events';
import { newId } from '../model/ids';
import type { SessionKind } from '../model/session';
import { recordEvents } from '../store/events/outbox';
import { ledgerKey } from '../store/ledger/entries';
import { lockFreeEntries, storeVersions, type ComparedCopy } from '../store/ledger/outdated-copies';

/**
 * Stores which versions of their sources the applications of some copies know from now on, and tells them of changes.
 *
 * Copies whose entry in the ledger somebody holds are left out: the sweep for missed changes comes to them again.
 *
 * @param trx has taken the sweep for changes of the kind before it has read the copies. So nobody else tells of them.
 * @param isTold whether the application of a copy is told.
 */
export async function updateCopies(
  trx: TransactionOf<MultiDatabase>,
  kind: SessionKind,
  copies: readonly ComparedCopy[],
  isTold: (copy: ComparedCopy) => boolean,
): Promise<void> {
  if (copies.length === 0) return;
  const free = await read(trx, lockFreeEntries(copies));
  const taken = copies.filter((copy) => free.has(ledgerKey(copy)));
  if (taken.length === 0) return;
  const events = taken.filter(isTold).map((copy) =>
    newEvent('source_changed', copy.changedAt, {
      kind,
      source: { application: copy.sourceApplicationId, session: copy.sourceSessionId },
      recipient: { application: copy.applicationId, session: copy.sessionId },
    }),
  );
  await writeTogether(trx, [
    ...storeVersions(taken),
    ...(events.length > 0 ? [recordEvents(newId(), events)] : []),
  ]);
}
