import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { atExit, removeFolder } from './cleanup';

const abandonedAfterMs = 60 * 60 * 1000;

/**
 * A folder of the user's cache which is filled once per machine.
 *
 * It is filled under another name and then renamed: a folder of this name is always complete, and
 * processes which fill it at the same time do not see each other's files.
 *
 * @param name The folder's name; has to say everything its content depends on.
 * @param fill Fills the empty folder it is given.
 * @returns The folder's path.
 */
export async function cachedFolder(
  name: string,
  fill: (folder: string) => Promise<void>,
): Promise<string> {
  const cache = join(userCache(), 'session-import');
  const folder = join(cache, name);
  if (existsSync(folder)) return folder;

  await mkdir(cache, { recursive: true });
  await removeAbandonedDrafts(cache);
  const draft = await mkdtemp(join(cache, 'draft-'));
  const forget = atExit(() => {
    removeFolder(draft);
  });
  try {
    await fill(draft);
    await rename(draft, folder).catch((error: unknown) => {
      // Another process was faster: its folder is as good as ours.
      if (!existsSync(folder)) throw error;
    });
  } finally {
    await rm(draft, { recursive: true, force: true });
    forget();
  }
  return folder;
}

function userCache(): string {
  const configured = process.env['XDG_CACHE_HOME'];
  // By the XDG specification, a relative path is to be ignored.
  return configured && isAbsolute(configured) ? configured : join(homedir(), '.cache');
}

/** A process which is killed while it fills a folder cannot remove what it has so far. */
async function removeAbandonedDrafts(cache: string): Promise<void> {
  for (const entry of await readdir(cache)) {
    if (!entry.startsWith('draft-')) continue;
    const draft = join(cache, entry);
    // Not the time of modification: what is unpacked sets that to whatever it was packed with.
    const { ctimeMs } = await stat(draft).catch(() => ({ ctimeMs: Date.now() }));
    if (Date.now() - ctimeMs > abandonedAfterMs) await rm(draft, { recursive: true, force: true });
  }
}
