import { setTimeout as sleep } from 'node:timers/promises';
import { pagesOf } from '../db/cursor';
import type { MultiDatabase } from '../db/database';
import { read, write, type Statement } from '../db/query';
import type { Retry } from '../db/retry';
import { waitingErasures, type Erasure } from '../store/erasures';
import { dueSessions, type Due } from '../store/retention';
import type { ErasureRecord } from './record';

/** What a run does, besides the erasures, which it always carries out. Undefined: nothing of that kind. */
export interface PruneSettings {
  /** Attempts that were refused before this time are deleted. */
  readonly refusedImportsBefore: Date | undefined;
  /** Share tokens that had expired before this time are deleted. */
  readonly shareTokensBefore: Date | undefined;
  /** Answers that were given before this time to requests with an idempotency key are forgotten. */
  readonly answersBefore: Date | undefined;
  /** Events that were numbered before this time are deleted, except the newest ones of each feed. */
  readonly eventsBefore: Date | undefined;
  /**
   * Whether the database has all of its sessions. If not, a missing session may still be restored, so what was set
   * for its retention is kept.
   */
  readonly complete: boolean;
  /** The most rows of a transaction. */
  readonly batch: number;
  /** The pause after each transaction, in milliseconds. */
  readonly pause: number;
}

/** What a run has done, or would do. */
export interface PruneTally {
  /** Sessions that were erased because their time was over. */
  retentionOver: number;
  /** Erased sessions whose data were deleted. */
  sessions: number;
  /** The rows of their relations. */
  rows: number;
  refusedImports: number;
  shareTokens: number;
  answers: number;
  /** Rows of feeds: one has the events that were numbered together. */
  events: number;
}

/** The tally of a run that has done nothing yet. */
export function emptyTally(): PruneTally {
  return {
    ...{ retentionOver: 0, sessions: 0, rows: 0 },
    ...{ refusedImports: 0, shareTokens: 0, answers: 0, events: 0 },
  };
}

/** What every part of a run needs. */
export interface PruneRun {
  readonly db: MultiDatabase;
  readonly retry: Retry;
  readonly settings: PruneSettings;
  /** When the run began, by the database's clock. What is due by this time is done. */
  readonly now: Date;
  /** Where erasures are recorded before the data are deleted; undefined: nowhere. */
  readonly record: ErasureRecord | undefined;
  readonly tally: PruneTally;
  /** Is called after each transaction that has changed the tally. */
  readonly told: (tally: Readonly<PruneTally>) => void;
  /** Fires when the run is to stop. A transaction that has begun is still finished. */
  readonly signal: AbortSignal;
}

/** Tells what a transaction has done, and pauses, so that the database has room for other work. */
export async function breathe({ settings, tally, told, signal }: PruneRun): Promise<void> {
  told(tally);
  // Stopping is no failure.
  await sleep(settings.pause, undefined, { signal }).catch(() => undefined);
}

/**
 * Runs a statement until it finds nothing more to delete.
 *
 * @param what counts it; undefined: nothing does.
 */
export async function inBatches(
  run: PruneRun,
  what: keyof PruneTally | undefined,
  statement: (most: number) => Statement,
): Promise<void> {
  const { db, retry, settings, tally, signal } = run;
  let deleted = settings.batch;
  while (deleted >= settings.batch && !signal.aborted) {
    deleted = (await retry(() => write(db, statement(settings.batch)))).affectedRows;
    if (what) tally[what] += deleted;
    await breathe(run);
  }
}

/** How many sessions are looked for at a time. */
export const sessionsAtOnce = 1_000;

/** The sessions that are to be erased because their time is over, page by page. */
export function duePages({ db, retry, now }: PruneRun): AsyncGenerator<readonly Due[]> {
  return pagesOf(sessionsAtOnce, (page) => retry(() => read(db, dueSessions(now, page))));
}

/** The erasures that wait, page by page. */
export function waitingPages({ db, retry }: PruneRun): AsyncGenerator<readonly Erasure[]> {
  return pagesOf(sessionsAtOnce, (page) => retry(() => read(db, waitingErasures(page))));
}
