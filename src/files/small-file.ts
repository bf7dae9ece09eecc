import { createReadStream } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { requireRegularFile } from './regular';

/** The largest file that is read, in bytes. */
const mostBytes = 65_536;

/**
 * Reads a file that is known to be small, such as a secret.
 *
 * @throws Error if it is no file, is too large, or can't be read. The message does not quote the file.
 */
export async function readSmallFile(path: string): Promise<string> {
  await requireRegularFile(path);
  const bytes = await buffer(createReadStream(path, { end: mostBytes }));
  if (bytes.length > mostBytes) throw new Error(`${path} has over ${mostBytes} bytes`);
  return bytes.toString('utf8');
}
