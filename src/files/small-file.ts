import { readRegularFile } from './regular-file';

/** The largest file that is read, in bytes. */
const mostBytes = 65_536;

/**
 * Reads a file that is known to be small, such as a secret.
 *
 * @throws Error if it is no file, is too large, or can't be read. The message does not quote the file.
 */
export async function readSmallFile(path: string): Promise<string> {
  const bytes = await readRegularFile(path, mostBytes);
  if (bytes.length > mostBytes) throw new Error(`${path} has over ${mostBytes} bytes`);
  return bytes.toString('utf8');
}
