import { pagesOf } from '../db/cursor';
import { read, write } from '../db/query';
import { applicationIds } from '../store/accounts';
import { forgetAnswersOf, keptAnswers, type KeptAnswer } from '../store/ledger/entries';
import { deleteOldRefusals } from '../store/refusals';
import { deleteOldShareTokens } from '../store/share-tokens';
import { deleteOldEvents, emptyOutbox } from './old-events';
import { breathe, inBatches, type PruneRun } from './run';

/** Deletes records that are older than the settings say. Each kind of record has a setting of its own. */
export async function deleteOldRecords(run: PruneRun): Promise<void> {
  const { refusedImportsBefore, shareTokensBefore, answersBefore, eventsBefore } = run.settings;
  if (refusedImportsBefore) {
    await inBatches(run, 'refusedImports', (most) => deleteOldRefusals(refusedImportsBefore, most));
  }
  if (shareTokensBefore) {
    await inBatches(run, 'shareTokens', (most) => deleteOldShareTokens(shareTokensBefore, most));
  }
  if (answersBefore) {
    await eachOldAnswers(run, answersBefore, async (old) => {
      const { affectedRows } = await run.retry(() => write(run.db, forgetAnswersOf(old)));
      run.tally.answers += affectedRows;
      await breathe(run);
    });
  }
  if (eventsBefore) await deleteOldEvents(run, eventsBefore);
  await emptyOutbox(run);
}

/**
 * Finds the answers that were given before a moment, of one application after the other.
 *
 * @param work is called for each page of them.
 */
export async function eachOldAnswers(
  run: PruneRun,
  before: Date,
  work: (old: readonly KeptAnswer[]) => Promise<void>,
): Promise<void> {
  const { db, retry, settings, signal } = run;
  const applications = pagesOf(settings.batch, (page) =>
    retry(() => read(db, applicationIds(page))),
  );
  for await (const ids of applications) {
    for (const id of ids) {
      const answers = pagesOf(settings.batch, (page) =>
        retry(() => read(db, keptAnswers(id, page))),
      );
      for await (const kept of answers) {
        if (signal.aborted) return;
        const old = kept.filter(({ createdAt }) => createdAt < before);
        if (old.length > 0) await work(old);
      }
    }
  }
}
