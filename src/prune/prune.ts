import { read } from '../db/query';
import { kindSchemas } from '../model/relations';
import type { Erasure } from '../store/erasures';
import { countOldRefusals } from '../store/refusals';
import { countAllRows } from '../store/relations/delete';
import { countOldShareTokens } from '../store/share-tokens';
import { carryOutErasures, eraseDue, forgetRetentionOfDeleted } from './erasures';
import { oldEventPages } from './old-events';
import { deleteOldRecords, eachOldAnswers } from './old-records';
import { duePages, waitingPages, type PruneRun } from './run';

/**
 * Carries out what waits: erases the sessions whose time is over, deletes the data of all erased sessions, and deletes
 * old records as far as the settings say so.
 *
 * It can be stopped or killed at any moment, and run again. Several can run at once.
 */
export async function prune(run: PruneRun): Promise<void> {
  if (run.settings.complete) await forgetRetentionOfDeleted(run);
  await eraseDue(run);
  await carryOutErasures(run);
  await deleteOldRecords(run);
}

/** Counts into the tally what {@link prune} would do now. It only reads. */
export async function countWork(run: PruneRun): Promise<void> {
  const { db, tally, settings } = run;
  const count = async ({ kind, sessionId }: Pick<Erasure, 'kind' | 'sessionId'>): Promise<void> => {
    tally.sessions += 1;
    tally.rows += await read(db, countAllRows(kindSchemas[kind], sessionId));
  };
  for await (const due of duePages(run)) {
    tally.retentionOver += due.length;
    for (const each of due) await count(each);
  }
  for await (const waiting of waitingPages(run)) {
    for (const each of waiting) await count(each);
  }
  const { refusedImportsBefore, shareTokensBefore, answersBefore, eventsBefore } = settings;
  if (refusedImportsBefore) {
    tally.refusedImports = await read(db, countOldRefusals(refusedImportsBefore));
  }
  if (shareTokensBefore) {
    tally.shareTokens = await read(db, countOldShareTokens(shareTokensBefore));
  }
  if (answersBefore) {
    await eachOldAnswers(run, answersBefore, (old) => {
      tally.answers += old.length;
      return Promise.resolve();
    });
  }
  if (eventsBefore) {
    for await (const { rows } of oldEventPages(run, eventsBefore)) tally.events += rows;
  }
}
