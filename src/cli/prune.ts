import { Command } from '@commander-js/extra-typings';
import { databaseNow } from '../db/clock';
import { read } from '../db/query';
import { createRetry } from '../db/retry';
import { countWork, prune } from '../prune/prune';
import { ErasureRecord } from '../prune/record';
import { replay, type Replayed } from '../prune/replay';
import { emptyTally, type PruneRun, type PruneTally } from '../prune/run';
import { waitingErasuresCount } from '../store/erasures';
import { wholeNumberArgument } from './arguments';
import { withMultiDatabase } from './database';
import { CommandFailure, printFields } from './output';
import { showPruned } from './prune-progress';

const explanation = `
It erases the sessions whose retention time (SetRetention) is over, unless they are on hold, and deletes the data of
all sessions that were erased. Old records are deleted only if an option says so. Each transaction is small, and a pause
follows it.

Its database user needs SELECT, INSERT, UPDATE, DELETE. It can be killed, and run again; several can run at once.
On SIGTERM or SIGINT it finishes the transaction that runs, and stops.

The database's clock decides what is over. Before a replay, all lines of the file are checked: if one can't be used,
nothing is done.

Exit code: 0 if everything is done, 2 if it was stopped before, 1 if it failed.`;

const days = wholeNumberArgument(1, 36_500);
const millisecondsPerDay = 86_400_000;

/** `prune` */
export function pruneCommand() {
  return new Command('prune')
    .description(
      'delete the data of erased sessions and of those whose retention time is over, and old records',
    )
    .option(
      '--refused-imports <days>',
      'delete refused imports that are older than so many days',
      days,
    )
    .option(
      '--share-tokens <days>',
      'delete share tokens that expired more than so many days ago',
      days,
    )
    .option(
      '--answers <days>',
      'forget answers older than so many days to requests with an idempotency key',
      days,
    )
    .option(
      '--events <days>',
      'delete events older than so many days, except the newest ones of each application',
      days,
    )
    .option('--batch <rows>', 'the most rows of a transaction', wholeNumberArgument(1, 10_000), 500)
    .option(
      '--pause <milliseconds>',
      'the pause after each transaction',
      wholeNumberArgument(0, 60_000),
      20,
    )
    .option('--record <file>', 'add the erasures to this file before the data are deleted')
    .option(
      '--replay <file>',
      'first erase again the sessions that this file names: after a restore',
    )
    .option('--dry-run', 'only count what would be done')
    .option('--json', 'print JSON')
    .addHelpText('after', explanation)
    .action(async ({ json, dryRun, record: recordFile, replay: replayFile, ...options }) => {
      if (dryRun && replayFile !== undefined) {
        throw new Error('--replay erases sessions, so it can not be used with --dry-run');
      }
      const record =
        recordFile === undefined || dryRun ? undefined : await ErasureRecord.open(recordFile);
      const progress = showPruned();
      const tally = emptyTally();
      const stopping = new AbortController();
      const stop = (): void => {
        stopping.abort();
      };
      process.on('SIGTERM', stop).on('SIGINT', stop);
      try {
        const { replayed, waiting } = await withMultiDatabase(async (db) => {
          const now = await databaseNow(db);
          const ago = (given: number | undefined): Date | undefined =>
            given === undefined ? undefined : new Date(now.getTime() - given * millisecondsPerDay);
          const run: PruneRun = {
            db,
            retry: createRetry(() => undefined),
            settings: {
              refusedImportsBefore: ago(options.refusedImports),
              shareTokensBefore: ago(options.shareTokens),
              answersBefore: ago(options.answers),
              eventsBefore: ago(options.events),
              // After a replay, more may still be restored.
              complete: replayFile === undefined,
              batch: options.batch,
              pause: options.pause,
            },
            now,
            record,
            tally,
            told: progress.update,
            signal: stopping.signal,
          };
          const again = replayFile === undefined ? undefined : await replay(run, replayFile);
          await (dryRun ? countWork(run) : prune(run));
          return { replayed: again, waiting: await read(db, waitingErasuresCount()) };
        });
        progress.stop();
        const stopped = stopping.signal.aborted;
        await printFields(
          {
            ...(dryRun ? { dry_run: true } : {}),
            ...fieldsOf(tally, replayed),
            waiting: waiting.waiting,
            oldest_waiting: waiting.oldest?.toISOString() ?? null,
            stopped,
          },
          { json },
        );
        if (stopped) throw new CommandFailure('it was stopped: run it again to go on', 2);
      } finally {
        progress.stop();
        process.off('SIGTERM', stop).off('SIGINT', stop);
        await record?.close();
      }
    });
}

function fieldsOf(tally: Readonly<PruneTally>, replayed: Replayed | undefined) {
  return {
    ...(replayed
      ? {
          replayed: replayed.erased,
          replayed_others: replayed.others,
          cut_off: replayed.cutOff,
        }
      : {}),
    retention_over: tally.retentionOver,
    sessions: tally.sessions,
    rows: tally.rows,
    refused_imports: tally.refusedImports,
    share_tokens: tally.shareTokens,
    answers: tally.answers,
    events: tally.events,
  };
}
