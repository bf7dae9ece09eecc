import { statSync, type Stats } from 'node:fs';
import { stat } from 'node:fs/promises';

/**
 * Requires that a name stands for a regular file, or for a link to one. Whatever is read again must be one: a pipe can
 * be read only once, and whoever opens it waits until somebody writes.
 *
 * @throws Error if it is something else, or can't be found out.
 */
export async function requireRegularFile(path: string): Promise<void> {
  check(path, await stat(path));
}

/** The same for what is read at once: while it looks, everything else waits. */
export function requireRegularFileSync(path: string): void {
  check(path, statSync(path));
}

function check(path: string, stats: Stats): void {
  if (!stats.isFile()) throw new Error(`${path} is no file`);
}
