import { databaseNow } from '../db/clock';
import { pagesOf } from '../db/cursor';
import type { Database } from '../db/database';
import { read, readTogether, write, writeTogether } from '../db/query';
import { inTransaction } from '../db/transaction';
import { type ApplicationId, type SessionId } from '../model/ids';
import { ServiceError } from '../model/problems';
import { kindSchemas } from '../model/relations';
import { eraseSession, markPruned, takeErasure, type Erasure } from '../store/erasures';
import { forgetAnswers } from '../store/ledger/entries';
import { deleteRows, filledRelations } from '../store/relations/delete';
import { sessionsWithKeyPeople, unlinkKeyPeople } from '../store/relations/key-people';
import { deleteRetention, retainedSessions } from '../store/retention';
import {
  deleteSession,
  lockForErasure,
  markErased,
  sessionsByNumber,
  sessionsOfAnyone,
} from '../store/sessions/erase';
import { deleteUnusedVendorEntity } from '../store/vendor-entities';
import { breathe, duePages, sessionsAtOnce, waitingPages, type PruneRun } from './run';

/** How many business sessions are looked at together for key people that name erased sessions. */
const companies = 100;

/** Erases the sessions whose time is over, unless they are on hold. */
export async function eraseDue(run: PruneRun): Promise<void> {
  const { db, retry, now, signal, tally } = run;
  // A run can take hours, so the time of an erasure is not that of the run's beginning. But what was due then is erased.
  const clock = async (trx: Database): Promise<Date> => {
    const later = await databaseNow(trx);
    return later > now ? later : now;
  };
  for await (const due of duePages(run)) {
    for (const { sessionId, kind } of due) {
      if (signal.aborted) return;
      const wanted = {
        sessionId,
        kind,
        owner: undefined,
        cause: 'retention',
        actor: null,
      } as const;
      const end = await retry(() => eraseSession(db, { ...wanted, clock })).catch(ifHeld);
      // Undefined: the platform has deleted the session, or somebody has set another time since it was found.
      if (end !== undefined && end !== 'held') tally.retentionOver += 1;
      await breathe(run);
    }
  }
}

/**
 * Forgets the retention of sessions that the platform has deleted. Nothing else finds those that are held or have no
 * time, so this looks through all of them. It needs no lock: nothing can be set for a session that is not there.
 */
export async function forgetRetentionOfDeleted(run: PruneRun): Promise<void> {
  const { db, retry, settings, signal } = run;
  const size = Math.min(settings.batch, sessionsAtOnce);
  const pages = pagesOf(size, (page) => retry(() => read(db, retainedSessions(page))));
  for await (const ids of pages) {
    if (signal.aborted || ids.length === 0) return;
    const there = await retry(() => read(db, sessionsOfAnyone(ids)));
    const gone = ids.filter((id) => !there.has(id));
    if (gone.length === 0) continue;
    await retry(() => write(db, deleteRetention(...gone)));
    await breathe(run);
  }
}

/** Accepts the error that a session is on hold: somebody has put it on hold since it was found, so it stays. */
function ifHeld(error: unknown): 'held' {
  if (error instanceof ServiceError && error.problem.reason === 'SESSION_ON_HOLD') return 'held';
  throw error;
}

/** Deletes the data of erased sessions. If it is stopped halfway, the next run goes on from there. */
export async function carryOutErasures(run: PruneRun): Promise<void> {
  const { record, signal } = run;
  for await (const waiting of waitingPages(run)) {
    if (waiting.length > 0) await record?.add(waiting);
    await unlinkPeople(run, waiting);
    for (const erasure of waiting) {
      if (signal.aborted) return;
      await carryOut(run, erasure);
    }
  }
}

/** Deletes the data of one session, some rows at a time. */
async function carryOut(run: PruneRun, erasure: Erasure): Promise<void> {
  const { retry, tally, signal } = run;
  let state: State = 'more';
  while (state === 'more' && !signal.aborted) {
    const deleted = await retry(() => deletePart(run, erasure));
    ({ state } = deleted);
    tally.rows += deleted.rows;
    if (state === 'done') tally.sessions += 1;
    await breathe(run);
  }
}

/**
 * After a part was deleted: there may be more; all is deleted; another process works on it, or has finished it; or
 * nothing was deleted, because the session is not of the application that the erasure names.
 */
type State = 'more' | 'done' | 'taken' | "another's";

/** Deletes a part of a session's data, children before parents, and its own row when nothing else is left. */
function deletePart(
  { db, settings, now }: PruneRun,
  { sessionId, applicationId, kind, erasedAt }: Erasure,
): Promise<{ readonly state: State; readonly rows: number }> {
  const schema = kindSchemas[kind];
  return inTransaction(db, async (trx) => {
    if (!(await read(trx, takeErasure(sessionId)))) return { state: 'taken', rows: 0 };
    const [session, filled] = await readTogether(trx, [
      lockForErasure(schema, sessionId),
      filledRelations(schema, sessionId),
    ]);
    // A replay can record a wrong application for a session that is restored only later. Such an erasure keeps waiting.
    if (session && session.applicationId !== applicationId) return { state: "another's", rows: 0 };
    // A restore can bring a session back whose erasure is on record. It is hidden before its rows are deleted.
    if (session?.erasedAt === null) await write(trx, markErased(schema, sessionId, erasedAt));
    let rows = 0;
    for (const relation of filled) {
      const { affectedRows } = await write(
        trx,
        deleteRows(relation, sessionId, settings.batch - rows),
      );
      rows += affectedRows;
      if (rows >= settings.batch) return { state: 'more', rows };
    }
    const entity = session?.vendorEntityId;
    await writeTogether(trx, [
      deleteSession(schema, sessionId),
      deleteRetention(sessionId),
      ...forgetAnswers(sessionId),
      ...(entity ? [deleteUnusedVendorEntity(schema, entity)] : []),
      markPruned(sessionId, now),
    ]);
    return { state: 'done', rows };
  });
}

/**
 * Makes key people no longer point at erased sessions. There is no index for that, because every import would have to
 * write it. So this reads all business sessions of the same applications, once for many erasures.
 */
async function unlinkPeople(run: PruneRun, erasures: readonly Erasure[]): Promise<void> {
  const people = new Map<ApplicationId, SessionId[]>();
  for (const { applicationId, kind, sessionId } of erasures) {
    if (kind !== 'user') continue;
    people.set(applicationId, [...(people.get(applicationId) ?? []), sessionId]);
  }
  for (const [applicationId, erased] of people) await unlinkOf(run, applicationId, erased);
}

async function unlinkOf(
  run: PruneRun,
  applicationId: ApplicationId,
  erased: readonly SessionId[],
): Promise<void> {
  const { db, retry, signal } = run;
  const { business } = kindSchemas;
  let after = 0;
  while (!signal.aborted) {
    const sessions = await retry(() =>
      read(db, sessionsByNumber(business, applicationId, after, companies)),
    );
    const last = sessions.at(-1);
    if (!last) return;
    after = last.number;
    const ids = sessions.map(({ id }) => id);
    for (const company of await retry(() => read(db, sessionsWithKeyPeople(ids, erased)))) {
      await retry(() =>
        inTransaction(db, async (trx) => {
          await read(trx, lockForErasure(business, company));
          await write(trx, unlinkKeyPeople(company, erased));
        }),
      );
      await breathe(run);
    }
  }
}
