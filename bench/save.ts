import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

const folder = path.join(__dirname, 'results');

/**
 * Writes what was measured.
 *
 * @param name of the file in bench/results/, without `.json`; or a path, which stands for itself.
 * @returns the path without `.json`.
 */
export async function saveResults(name: string, found: object): Promise<string> {
  const base = path.resolve(folder, name);
  await mkdir(path.dirname(base), { recursive: true });
  // More digits would say nothing.
  const rounded = (_: string, value: unknown): unknown =>
    typeof value === 'number' ? Number(value.toPrecision(5)) : value;
  await writeFile(`${base}.json`, `${JSON.stringify(found, rounded, 2)}\n`);
  return base;
}
