import { stat } from 'node:fs/promises';
import { readTogether } from '../db/query';
import { erasuresOf, replayErasure, type Erasure } from '../store/erasures';
import { sessionsOfAnyone } from '../store/sessions/erase';
import { readRecord, type RecordLine } from './record-lines';
import { breathe, type PruneRun } from './run';

/** What came of a file of erasures. */
export interface Replayed {
  /** Sessions that were there again, and are erased now. */
  erased: number;
  /** Erasures of sessions that are not there, or are erased already. */
  others: number;
  /** Lines that were cut off when they were written, before their sessions were deleted. */
  cutOff: number;
}

/** How many lines are compared with the database together. */
const linesAtOnce = 1_000;

/** The most lines that an error names. */
const mostNamed = 20;

/**
 * How long before its session's creation, or after now, an erasure may seem to be, in milliseconds. The clocks that
 * these times come from may differ.
 */
const leeway = 600_000;

/**
 * Erases again the sessions that a file names, even if a backup has brought back a hold. The file is read twice: no
 * session is erased before all lines have been checked.
 *
 * @param path a file that an ErasureRecord has written.
 * @throws Error if the file can't be read, or has lines that can't be used. It names them, and nothing was erased. Also
 * if the file has changed while it was read; then the sessions of some lines may be erased.
 */
export async function replay(run: PruneRun, path: string): Promise<Replayed> {
  const { db, retry, signal } = run;
  const done = { erased: 0, others: 0, cutOff: 0 };
  const checked = await checkRecord(run, path);
  let last = 0;
  for await (const line of readRecord(path)) {
    if (signal.aborted) return done;
    if (line.type === 'unusable' || line.number > checked) throw changed(path);
    last = line.number;
    if (line.type === 'cut off') {
      done.cutOff += 1;
      continue;
    }
    const { erasure } = line;
    done[(await retry(() => replayErasure(db, erasure))) ? 'erased' : 'others'] += 1;
    await breathe(run);
  }
  if (last < checked && !signal.aborted) throw changed(path);
  return done;
}

function changed(path: string): Error {
  return new Error(`${path} has changed since it was checked: run it again`);
}

/** Checks all lines of a file. @returns the number of the last one. @throws Error if one can't be used. */
async function checkRecord(run: PruneRun, path: string): Promise<number> {
  // From a pipe, nothing would be left for the second time.
  if (!(await stat(path)).isFile()) {
    throw new Error(`${path} is not a regular file: it is read twice, so store the lines in one`);
  }
  let last = 0;
  let wrong = 0;
  const named: string[] = [];
  const check = async (lines: readonly RecordLine[]): Promise<void> => {
    for (const problem of await problemsOf(run, lines)) {
      wrong += 1;
      if (named.length < mostNamed) named.push(problem);
    }
  };
  let lines: RecordLine[] = [];
  for await (const line of readRecord(path)) {
    if (run.signal.aborted) return last;
    last = line.number;
    lines.push(line);
    if (lines.length < linesAtOnce) continue;
    await check(lines);
    lines = [];
  }
  await check(lines);
  if (wrong === 0) return last;
  const more = wrong > named.length ? [`and ${wrong - named.length} more`] : [];
  throw new Error(
    [`${path} has lines that can not be used, so nothing was erased:`, ...named, ...more].join(
      '\n  ',
    ),
  );
}

/** What is wrong with lines, in their order. */
async function problemsOf(
  { db, retry, now }: PruneRun,
  lines: readonly RecordLine[],
): Promise<string[]> {
  const ids = lines.flatMap((line) => (line.type === 'erasure' ? [line.erasure.sessionId] : []));
  const [sessions, before] =
    ids.length === 0
      ? []
      : await retry(() => readTogether(db, [sessionsOfAnyone(ids), erasuresOf(ids)]));
  const problemOf = (line: RecordLine): string | undefined => {
    if (line.type === 'unusable') return line.problem;
    if (line.type === 'cut off') return undefined;
    const { erasure } = line;
    const session = sessions?.get(erasure.sessionId);
    if (erasure.erasedAt.getTime() > now.getTime() + leeway) return 'erased_at is in the future';
    if (session && erasure.erasedAt.getTime() < session.createdAt.getTime() - leeway) {
      return 'erased_at is before the session was created';
    }
    return differenceOf(erasure, session) ?? differenceOf(erasure, before?.get(erasure.sessionId));
  };
  return lines.flatMap((line) => {
    const problem = problemOf(line);
    return problem === undefined ? [] : [`line ${line.number}: ${problem}`];
  });
}

/** How an erasure differs from what the database knows of its session. */
function differenceOf(
  { applicationId, kind }: Erasure,
  known: Pick<Erasure, 'applicationId' | 'kind'> | undefined,
): string | undefined {
  if (!known) return undefined;
  if (known.applicationId !== applicationId) {
    return 'application_id is not the application that has the session';
  }
  return known.kind === kind ? undefined : `session_kind: the session is of kind ${known.kind}`;
}
