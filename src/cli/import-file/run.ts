import type { Line, WantedImport } from './lines';
import type { Tally } from './progress';
import type { Result } from './results';

/** The steps of a run. */
export interface Run {
  readonly lines: AsyncIterable<Line>;
  /** The ids of requests that need not be made again. */
  readonly done: ReadonlySet<string>;
  readonly concurrency: number;
  /** Imports a line, and rejects only if the run can't go on. */
  readonly importLine: (number: number, wanted: WantedImport) => Promise<Result>;
  readonly write: (result: Result) => Promise<void>;
  /** Called after each line. */
  readonly told: (tally: Readonly<Tally>) => void;
  /** Once aborted, no more lines are taken. Calls under way are finished; waits between calls are cut short. */
  readonly signal: AbortSignal;
}

/**
 * Imports the lines of a file, several at a time. A line is read only when it can be imported, so that a large file
 * takes no more memory than a small one.
 *
 * @returns the number of lines for each outcome, and the first error that stopped the run, if any. All lines that
 * were being imported have ended by then.
 */
export async function runImports(
  run: Run,
): Promise<{ readonly tally: Readonly<Tally>; readonly error: Error | undefined }> {
  const tally: Tally = { imported: 0, imported_before: 0, refused: 0, failed: 0, malformed: 0 };
  const underWay = new Set<Promise<void>>();
  let oneEnded = (): void => undefined;
  let broken: Error | undefined;
  const hasBroken = (): boolean => broken !== undefined;
  const settle = async (line: Line): Promise<void> => {
    const result = await resultOf(line, run);
    if (result) await run.write(result);
    tally[result?.outcome ?? 'imported_before']++;
    run.told(tally);
  };
  const breakOff = (error: unknown): void => {
    broken ??= error as Error;
  };
  try {
    for await (const line of run.lines) {
      if (run.signal.aborted || hasBroken()) break;
      const work: Promise<void> = settle(line)
        .catch(breakOff)
        .finally(() => {
          underWay.delete(work);
          oneEnded();
        });
      underWay.add(work);
      if (underWay.size < run.concurrency) continue;
      // Not Promise.race: the promise of a line that waits for minutes would keep a reference to every race.
      await new Promise<void>((resolve) => {
        oneEnded = resolve;
      });
    }
  } catch (error) {
    breakOff(error);
  }
  await Promise.all(underWay);
  return { tally, error: broken };
}

/** The result of a line; undefined: it was imported by an earlier run. */
async function resultOf(
  { number, content }: Line,
  { done, importLine }: Run,
): Promise<Result | undefined> {
  if ('problem' in content) {
    return { line: number, request_id: null, outcome: 'malformed', message: content.problem };
  }
  return done.has(content.requestId) ? undefined : importLine(number, content);
}
