import { execFile } from 'node:child_process';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

/** How often the machine is tried, in milliseconds. */
const interval = 100;

/** As much as a page of InnoDB. */
const page = Buffer.alloc(16_384);

/** About 200 KB of JSON: to parse it and to write it again needs the caches of a processor, as the service does. */
const text = JSON.stringify(
  Array.from({ length: 2_000 }, (_, index) => ({
    index,
    text: 'x'.repeat(index % 50),
    parts: { list: [index, index + 1], number: String(index) },
  })),
);

/**
 * How fast the machine was while something was measured. A slow machine, or one that others use, can be told from a slow
 * service by it.
 */
export interface Pace {
  /**
   * The processor time that a fixed piece of work took on average, in milliseconds. The time for which it waited for a
   * processor does not count.
   */
  readonly work: number;
  /** How long the slowest write to disk took (16 KiB, `fdatasync`), in milliseconds. */
  readonly slowestWrite: number;
}

/**
 * Lets the system write to disk what it still keeps in memory. Otherwise it would do so half a minute later, and other
 * writes would wait for that.
 */
export async function flushDisks(): Promise<void> {
  await promisify(execFile)('sync');
}

/** Does something, and tries the machine again and again meanwhile, which takes about three percent of a processor. */
export async function measurePace<T>(
  act: () => Promise<T>,
): Promise<{ readonly result: T; readonly pace: Pace }> {
  const folder = await mkdtemp(path.join(tmpdir(), 'session-import-pace-'));
  const file = await open(path.join(folder, 'page'), 'w');
  let [ended, tries, work, slowestWrite] = [false, 0, 0, 0];
  const tryAll = async (): Promise<void> => {
    while (!ended) {
      work += workTime();
      tries += 1;
      const startedAt = performance.now();
      await file.write(page, 0, page.length, 0);
      await file.datasync();
      slowestWrite = Math.max(slowestWrite, performance.now() - startedAt);
      await sleep(interval);
    }
  };
  try {
    const acting = act().finally(() => {
      ended = true;
    });
    const [result] = await Promise.all([acting, tryAll()]);
    return { result, pace: { work: work / tries, slowestWrite } };
  } finally {
    await file.close();
    await rm(folder, { recursive: true });
  }
}

function workTime(): number {
  const before = process.cpuUsage();
  JSON.stringify(JSON.parse(text));
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}
