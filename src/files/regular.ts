import { statSync } from 'node:fs';

/**
 * Requires that a name stands for a regular file, or for a link to one. Whatever is read again must be one: a pipe can
 * be read only once, and whoever opens it waits until somebody writes.
 *
 * @throws Error if it is something else, or can't be found out.
 */
export function requireRegularFile(path: string): void {
  if (!statSync(path).isFile()) throw new Error(`${path} is no file`);
}
