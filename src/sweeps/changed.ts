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
import { copiesOfStep } from './limits';

/** The most sessions of a step, and the most copies that one row of the outbox tells of. */
const atOnce = 500;

/**
 * Takes a step of the sweep for changed sessions: tells the applications that imported a session before its change.
 * Each change is looked at once. A new sweep starts with the changes that are made from now on.
 *
 * The step ends early when it has looked at enough copies. So its transaction stays small, unless one session alone
 * has more.
 *
 * @param mostCopies after how many copies the step ends.
 * @returns whether there is more.
 */
export function sweepChanged(
  db: MultiDatabase,
  kind: SessionKind,
  mostCopies = copiesOfStep,
): Promise<boolean> {
  const name = `changed ${kind}` as const;
  return inTransaction(db, async (trx) => {
    const place = await read(trx, takeSweep(name));
    if (place === undefined) return false;
    const from = place ?? placeOfChanges(await read(trx, databaseTime()));
    const { items, end } = await read(trx, changedSessions(kind, from, atOnce));
    const ids = items.filter(({ closed }) => !closed).map(({ id }) => id);
    const imported = ids.length > 0 ? await read(trx, importedSessions(ids)) : new Set();
    let copies = 0;
    for (const session of items) {
      if (imported.has(session.id)) copies += await tell(trx, kind, session);
      if (copies < mostCopies) continue;
      await write(trx, storeSweep(name, session.place));
      return end !== undefined || session !== items.at(-1);
    }
    // A new sweep also stores where it starts: the next step must not start later.
    await write(trx, storeSweep(name, items.at(-1)?.place ?? from));
    return end !== undefined;
  });
}

/**
 * Tells the applications that imported a session before its change, and still have their copies.
 *
 * @returns how many copies it has looked at.
 */
async function tell(
  trx: TransactionOf<MultiDatabase>,
  kind: SessionKind,
  { id, applicationId, updatedAt }: ChangedSession,
): Promise<number> {
  let looked = 0;
  const pages = pagesOf(atOnce, (page) => read(trx, importsOfSession(id, page)));
  for await (const copies of pages) {
    looked += copies.length;
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
  return looked;
}
