import type { Stats } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { errorCode } from '../model/problems';

/** A file that is to be replaced by a new one. */
export interface FileToReplace {
  /** Where it is: links to a file stay, and the file is replaced. A link to nothing is replaced itself. */
  readonly path: string;
  /** Its rights; undefined: there is no such file yet. */
  readonly mode: number | undefined;
}

/**
 * Finds the file that a name stands for.
 *
 * @throws Error if a folder, a device or a pipe has this name: a file would take its place. And reading a pipe may
 * take for ever.
 */
export async function fileToReplace(name: string): Promise<FileToReplace> {
  const before = await statsOf(name);
  if (!before) return { path: name, mode: undefined };
  if (!before.isFile()) throw new Error(`${name} is no file`);
  return { path: await realpath(name), mode: before.mode & 0o777 };
}

/** What the file system says of a file; undefined: there is no such file. */
export async function statsOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (errorCode(error as Error) === 'ENOENT') return undefined;
    throw error;
  }
}
