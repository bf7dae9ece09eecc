import { rename, writeFile } from 'node:fs/promises';

/** An object less one of its members. */
export function without<T extends object>(object: T, name: string): T {
  return Object.fromEntries(Object.entries(object).filter(([key]) => key !== name)) as T;
}

/**
 * Waits until something holds that nobody tells of: what a file, MySQL or another service says. The
 * test's own time limit ends the waiting.
 */
export async function eventually(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await pause(20);
}

/** Lets time pass, for a test that is about time. */
export async function pause(milliseconds: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Replaces a file by a new one at once, so that whoever looks at it all the time never sees a part of it. */
export async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  await writeFile(`${path}.new`, content);
  await rename(`${path}.new`, path);
}
