import { databaseTime } from '../db/clock';
import { pagesOf } from '../db/cursor';
import type { MultiDatabase, TransactionOf } from '../db/database';
import { read, write } from '../db/query';
import { inTransaction } from '../db/transaction';
import { newEvent } from '../model/events';
import { newId } from '../model/ids';
import { kindSchemas } from '../model/relations';
import type { SessionKind } from '../model/session';
import { recordEvents } from '../store/events/outbox';
import { importedSessions, importsOfSession } from '../store/ledger/imports-of-session';
import { changedSessions, placeOfChanges, type ChangedSession } from '../store/sessions/changed';
import { ownersOfSessions } from '../store/sessions/lock';
import { storeSweep, takeSweep } from '../store/sweeps';

/** The most sessions of a step, and the most copies that are told at once. */
const atOnce = 500;

/**
 * Takes a step of the sweep for changed sessions: tells the applications that have imported them before. Each change is
 * looked at once. A sweep that begins, begins now.
 *
 * @returns whether there is more.
 */
export function sweepChanged(db: MultiDatabase, kind: SessionKind): Promise<boolean> {
  const name = `changed ${kind}` as const;
  return inTransaction(db, async (trx) => {
    const place = await read(trx, takeSweep(name));
    if (place === undefined) return false;
    const from = place ?? placeOfChanges(await read(trx, databaseTime()));
    const { items, end, last } = await read(trx, changedSessions(kind, from, atOnce));
    const ids = items.filter(({ erased }) => !erased).map(({ id }) => id);
    const imported = ids.length > 0 ? await read(trx, importedSessions(ids)) : new Set();
    for (const session of items) if (imported.has(session.id)) await tell(trx, kind, session);
    // Also where it begins, so that no later change is missed.
    await write(trx, storeSweep(name, last ?? from));
    return end !== undefined;
  });
}

/** Tells the applications that have imported a session before it was changed, and still have their copies. */
async function tell(
  trx: TransactionOf<MultiDatabase>,
  kind: SessionKind,
  { id, applicationId, updatedAt }: ChangedSession,
): Promise<void> {
  const pages = pagesOf(atOnce, (page) => read(trx, importsOfSession(id, page)));
  for await (const copies of pages) {
    const older = copies.filter(({ createdAt }) => createdAt < updatedAt);
    if (older.length === 0) continue;
    const there = await read(
      trx,
      ownersOfSessions(
        kindSchemas[kind],
        older.map(({ sessionId }) => sessionId),
      ),
    );
    const events = older
      .filter(({ sessionId }) => there.has(sessionId))
      .map((copy) =>
        newEvent('source_changed', updatedAt, {
          kind,
          source: { application: applicationId, session: id },
          recipient: { application: copy.applicationId, session: copy.sessionId },
        }),
      );
    if (events.length > 0) await write(trx, recordEvents(newId(), events));
  }
}
