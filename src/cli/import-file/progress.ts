import { clearLine, cursorTo } from 'node:readline';
import { SingleBar } from 'cli-progress';
import type { Result } from './results';

/** The number of lines for each outcome. */
export type Tally = Record<Result['outcome'] | 'imported_before', number>;

/** How often progress is printed without a terminal, in milliseconds. */
const interval = 10_000;

/** Shows how far a run is, on standard error: a bar on a terminal, lines of JSON elsewhere. */
export interface Progress {
  /** @param bytes how much of the file has been read. */
  update(bytes: number, tally: Readonly<Tally>): void;
  /** Says at once why lines wait. */
  waiting(reason: string, why: string): void;
  stop(): void;
}

/** @param size the size of the file, in bytes. */
export function showProgress(size: number): Progress {
  return process.stderr.isTTY ? bar(size) : jsonLines(size);
}

function bar(size: number): Progress {
  const shown = new SingleBar({
    format: '{bar} {percentage} % | {done} imported, {not_done} not | {duration_formatted}',
    barCompleteChar: '█',
    barIncompleteChar: '░',
    hideCursor: true,
  });
  shown.start(Math.max(size, 1), 0, { done: 0, not_done: 0 });
  return {
    update: (bytes, tally) => {
      const done = tally.imported + tally.imported_before;
      shown.update(bytes, { done, not_done: tally.refused + tally.failed + tally.malformed });
    },
    waiting: (reason, why) => {
      // This replaces the bar, which is then drawn again below.
      clearLine(process.stderr, 0);
      cursorTo(process.stderr, 0);
      process.stderr.write(`waiting (${reason}): ${onOneLine(why)}\n`);
    },
    stop: () => {
      shown.stop();
    },
  };
}

function jsonLines(size: number): Progress {
  let toldAt = performance.now();
  return {
    update: (bytes, tally) => {
      if (performance.now() - toldAt < interval) return;
      toldAt = performance.now();
      process.stderr.write(`${JSON.stringify({ bytes, of: size, ...tally })}\n`);
    },
    waiting: (reason, why) => {
      process.stderr.write(`${JSON.stringify({ waiting: reason, why: onOneLine(why) })}\n`);
    },
    stop: () => undefined,
  };
}

/**
 * OpenSSL's messages end with a line feed, and the message of an unknown service may contain characters that move the
 * cursor.
 */
function onOneLine(text: string): string {
  return text.replaceAll(/[\s\p{Cc}]+/gu, ' ').trim();
}
