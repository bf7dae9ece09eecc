import { closeSync, constants, fstatSync, openSync, readFileSync, type Stats } from 'node:fs';
import { open } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';

/** To open a pipe must not mean to wait until somebody writes. */
const reading = constants.O_RDONLY | constants.O_NONBLOCK;

/**
 * Reads a regular file, or the one that a link leads to. Whatever is read again and again must be one: a pipe can be
 * read only once, and keeps its reader waiting.
 *
 * @param end the place of the last byte that is read; by default, everything is read.
 * @throws Error if it is something else, or can't be read. The message does not quote the file.
 */
export async function readRegularFile(path: string, end = Infinity): Promise<Buffer> {
  const handle = await open(path, reading);
  try {
    check(path, await handle.stat());
    return await buffer(handle.createReadStream({ end, autoClose: false }));
  } finally {
    await handle.close();
  }
}

/** The same at once: while it reads, everything else waits. */
export function readRegularFileSync(path: string): Buffer {
  const file = openSync(path, reading);
  try {
    check(path, fstatSync(file));
    return readFileSync(file);
  } finally {
    closeSync(file);
  }
}

function check(path: string, stats: Stats): void {
  if (!stats.isFile()) throw new Error(`${path} is no file`);
}
