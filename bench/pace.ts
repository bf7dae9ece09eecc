import { execFile } from 'node:child_process';
import { mkdtemp, open, rm, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { median } from './statistics';

/** How often each is timed. */
const rounds = 9;
const multiplications = 20_000_000;
/** As much as a page of InnoDB. */
const page = Buffer.alloc(16_384);
/** How often the disk is tried while something else is measured, in milliseconds. */
const interval = 100;

/**
 * How fast the machine is while a benchmark does nothing. A run on a slow machine, or on one that others use, can be
 * told from one of a slow service by it.
 */
export interface Pace {
  /** How long 20,000,000 multiplications take, in milliseconds. */
  readonly loop: number;
  /** How long it takes to write 16 KiB to disk (`fdatasync`), in milliseconds. */
  readonly sync: number;
}

/**
 * Measures the machine. Before, it lets the system write whatever it still has to write: otherwise the system would
 * begin with it half a minute later, and no other write would end meanwhile.
 */
export async function measurePace(): Promise<Pace> {
  await promisify(execFile)('sync');
  const loops: number[] = [];
  const syncs: number[] = [];
  await withFile(async (file) => {
    for (let round = 0; round < rounds; round++) {
      loops.push(await timed(multiply));
      syncs.push(await timed(() => writePage(file)));
    }
  });
  return { loop: median(loops), sync: median(syncs) };
}

/** Writes to disk again and again, until `end` tells how long the slowest write took, in milliseconds. */
export function watchDisk(): { end(): Promise<number> } {
  let [most, ended] = [0, false];
  const watching = withFile(async (file) => {
    while (!ended) {
      most = Math.max(most, await timed(() => writePage(file)));
      await sleep(interval);
    }
  });
  return {
    async end() {
      ended = true;
      await watching;
      return most;
    },
  };
}

async function withFile(use: (file: FileHandle) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'session-import-pace-'));
  const file = await open(path.join(folder, 'page'), 'w');
  try {
    await use(file);
  } finally {
    await file.close();
    await rm(folder, { recursive: true });
  }
}

async function writePage(file: FileHandle): Promise<void> {
  await file.write(page, 0, page.length, 0);
  await file.datasync();
}

async function timed(act: () => unknown): Promise<number> {
  const startedAt = performance.now();
  await act();
  return performance.now() - startedAt;
}

function multiply(): number {
  let product = 1;
  for (let count = 0; count < multiplications; count++) product *= 1.000_000_1;
  return product;
}
