import { chmod, readFile, rename, writeFile } from 'node:fs/promises';
import type { JWK } from 'jose';
import { fileToReplace } from '../files/replace';
import { KeySetError, parseKeySet, type BoundJwk } from './key-set';
import { parseJson } from './key-source';

/** Only the owner may read: a private key, or a set with a secret in it. */
const ownerOnly = 0o600;

/** Everybody may read: a set of public keys, because the service may run as another user. */
const forEverybody = 0o644;

/** The rights of everybody except the owner and the group. */
const ofOthers = 0o007;

/**
 * Writes a private key to a new file.
 *
 * @throws if the file exists: a key is never overwritten.
 */
export async function writePrivateKey(file: string, jwk: JWK): Promise<void> {
  await writeFile(file, toText(jwk), { mode: ownerOnly, flag: 'wx' });
}

/**
 * Reads a private key.
 *
 * @throws KeySetError if the file does not hold one; the message repeats nothing of it.
 */
export async function readPrivateKey(file: string): Promise<BoundJwk> {
  return parsePrivateKey(file, await readFile(file, 'utf8'));
}

/**
 * The private key in a text.
 *
 * @param file where the text comes from.
 * @throws KeySetError if the text does not hold one; the message repeats nothing of it.
 */
export function parsePrivateKey(file: string, text: string): BoundJwk {
  const jwk = jsonIn(file, text) as BoundJwk | null;
  if (!jwk?.alg || !jwk.kid || !(jwk.d ?? jwk.k)) {
    throw new KeySetError(`${file} is not a private JWK with kid and alg`);
  }
  return jwk;
}

/** A JWK Set file with a key added to it, ready to be written. */
export interface ExtendedKeySet {
  /**
   * Replaces the old set. A service that reads the file at the same time sees either the old set or
   * the new set.
   */
  save(): Promise<void>;
}

/**
 * Adds a key to a JWK Set file, which is made if it is missing. The rights of an existing file stay as they are,
 * with one exception: if the set contains a secret, only the owner and the group keep their rights. If the name is a
 * symbolic link to a set, it stays, and the set is replaced.
 *
 * @throws KeySetError if the file is not a JWK Set, or if the service would not take it with the key.
 */
export async function extendKeySet(file: string, jwk: JWK): Promise<ExtendedKeySet> {
  const { path, mode } = await fileToReplace(file);
  const keys = mode === undefined ? [] : await readKeys(file);
  const set = { keys: [...keys, jwk] };
  const { ignored } = await parseKeySet(set, { symmetric: true });
  const mistake = ignored.find(({ foreign }) => !foreign);
  if (mistake) throw new KeySetError(`${file} with key ${mistake.kid}: ${mistake.why}`);
  return {
    async save() {
      const next = `${path}.${process.pid}.tmp`;
      await writeFile(next, toText(set), { mode: ownerOnly });
      await chmod(next, modeFor(set.keys, mode));
      await rename(next, path);
    },
  };
}

async function readKeys(file: string): Promise<readonly unknown[]> {
  const set = jsonIn(file, await readFile(file, 'utf8')) as { keys?: unknown } | null;
  if (!Array.isArray(set?.keys)) throw new KeySetError(`${file} is not a JWK Set`);
  return set.keys as readonly unknown[];
}

/** @param mode the rights of the old file; undefined: there is none. */
function modeFor(keys: readonly unknown[], mode: number | undefined): number {
  const isSecret = (key: unknown): boolean =>
    typeof key === 'object' && key !== null && ('k' in key || 'd' in key);
  const secret = keys.some(isSecret);
  if (mode === undefined) return secret ? ownerOnly : forEverybody;
  return secret ? mode & ~ofOthers : mode;
}

function jsonIn(file: string, text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    throw new KeySetError(`${file} is not JSON`);
  }
}

function toText(value: object): string {
  return JSON.stringify(value, null, 2) + '\n';
}
