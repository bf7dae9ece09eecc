import type { MultiDatabase, TransactionOf } from '../db/database';
import { writeTogether } from '../db/query';
import { newEvent } from '../model/events';
import { newId } from '../model/ids';
import type { SessionKind } from '../model/session';
import { recordEvents } from '../store/events/outbox';
import { storeTold, type OutdatedCopy } from '../store/ledger/outdated-copies';

/**
 * Tells applications that the sources of their copies were changed, and stores that they were told.
 *
 * @param trx has taken the sweep for changes of the kind before it has read the copies. So nobody else tells of them.
 */
export async function tellOfChanges(
  trx: TransactionOf<MultiDatabase>,
  kind: SessionKind,
  copies: readonly OutdatedCopy[],
): Promise<void> {
  if (copies.length === 0) return;
  const events = copies.map((copy) =>
    newEvent('source_changed', copy.changedAt, {
      kind,
      source: { application: copy.sourceApplicationId, session: copy.sourceSessionId },
      recipient: { application: copy.applicationId, session: copy.sessionId },
    }),
  );
  await writeTogether(trx, [...storeTold(copies), recordEvents(newId(), events)]);
}
