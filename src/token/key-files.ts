import { readFile, rename, writeFile } from 'node:fs/promises';
import type { JWK } from 'jose';
import { KeySetError } from './key-set';

/** Only the owner may read: a private key, or a set that may hold secrets. */
const ownerOnly = 0o600;

/**
 * Writes a private key to a new file.
 *
 * @throws if the file exists: a key is never overwritten.
 */
export async function writePrivateKey(file: string, jwk: JWK): Promise<void> {
  await writeFile(file, toText(jwk), { mode: ownerOnly, flag: 'wx' });
}

/**
 * Adds a key to a JWK Set file, which is made if it is missing. A service that reads the file
 * meanwhile sees it as it was or as it will be, and nothing in between.
 *
 * @throws KeySetError if the file is not a JWK Set.
 */
export async function addToKeySet(file: string, jwk: JWK): Promise<void> {
  const keys = await readKeys(file);
  const next = `${file}.${process.pid}.tmp`;
  await writeFile(next, toText({ keys: [...keys, jwk] }), { mode: ownerOnly });
  await rename(next, file);
}

async function readKeys(file: string): Promise<readonly unknown[]> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
  const set = JSON.parse(text) as { keys?: unknown };
  if (!Array.isArray(set.keys)) throw new KeySetError(`${file} is not a JWK Set`);
  return set.keys as readonly unknown[];
}

function toText(value: object): string {
  return JSON.stringify(value, null, 2) + '\n';
}
