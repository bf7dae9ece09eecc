import { importJWK, type CryptoKey, type JWK } from 'jose';
import { z } from 'zod';
import { isUuid, toId, type ApplicationId } from '../model/ids';
import { algorithmNamed, algorithms, type Algorithm } from './share-token';

/** A key that share tokens may be signed with. */
export interface VerificationKey {
  readonly kid: string;
  /** The only algorithm that the key may be used with, whatever a token claims (RFC 8725, 3.1). */
  readonly algorithm: Algorithm;
  /** The one source application that the key signs for; undefined: the platform's own key, for any. */
  readonly applicationId: ApplicationId | undefined;
  readonly key: CryptoKey;
}

/** A JWK that may be bound to a source application. */
export interface BoundJwk extends JWK {
  application_id?: string;
}

/** A JWK Set as this service understands it. */
export interface KeySet {
  /** No two have the same kid and the same algorithm. */
  readonly keys: readonly VerificationKey[];
  /** Members of the set that are not used. RFC 7517, section 5, has them ignored. */
  readonly ignored: readonly IgnoredKey[];
}

export interface IgnoredKey {
  readonly kid: string;
  readonly why: string;
  /** Whether it is meant for something else than signatures: then it is right that it is not used. */
  readonly foreign: boolean;
}

/** The key set, or a key in it, is not what it must be. */
export class KeySetError extends Error {
  override readonly name = 'KeySetError';
}

const setSchema = z.object({ keys: z.array(z.unknown()) });

const memberSchema = z.looseObject({
  kid: z.string('kid is missing').min(1, 'kid is missing').max(255, 'kid has over 255 characters'),
  use: z.literal('sig', 'use must be sig').optional(),
  key_ops: z
    .array(z.string())
    .refine((operations) => operations.includes('verify'), 'key_ops must include verify')
    .optional(),
  application_id: z.string().refine(isUuid, 'application_id must be a UUID').optional(),
});

/** RFC 7518, sections 3.2, 3.3 and 3.5: the least size of a secret, and of an RSA modulus. */
const minSecretBits = 256;
const minModulusBits = 2048;

/**
 * Reads a JWK Set (RFC 7517) and imports its keys once, so that this is not done for every token.
 *
 * @param symmetric whether secrets (HS256) may be in the set: they must never come over a network.
 * @throws KeySetError if it is not a JWK Set.
 */
export async function parseKeySet(
  json: unknown,
  { symmetric }: { readonly symmetric: boolean },
): Promise<KeySet> {
  const set = setSchema.safeParse(json);
  if (!set.success) throw new KeySetError('not a JWK Set: it must be an object with a list "keys"');

  const keys: VerificationKey[] = [];
  const ignored: IgnoredKey[] = [];
  for (const [index, member] of set.data.keys.entries()) {
    const jwk = isObject(member) ? (member as JWK) : undefined;
    const kid = typeof jwk?.kid === 'string' ? jwk.kid : `(key ${index + 1})`;
    const ignore = (why: string, foreign = false): void => {
      ignored.push({ kid, why, foreign });
    };
    if (!jwk) {
      ignore('it is not an object');
      continue;
    }
    if (isForeign(jwk)) {
      ignore('it is not for signatures, by its use or key_ops', true);
      continue;
    }
    const key = await parseKey(jwk, symmetric);
    // RFC 7517, section 4.5: keys may share a kid if they can't be mistaken for each other.
    const isTaken = (known: VerificationKey, { kid, algorithm }: VerificationKey): boolean =>
      known.kid === kid && known.algorithm === algorithm;
    if (typeof key === 'string') ignore(key);
    else if (keys.some((known) => isTaken(known, key)))
      ignore('another key has the same kid and alg');
    else keys.push(key);
  }
  return { keys, ignored };
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether a key is for encryption (RFC 7517, sections 4.2 and 4.3), as in a set for several purposes. */
function isForeign({ use, key_ops: operations }: JWK): boolean {
  if (use === 'enc') return true;
  return (
    Array.isArray(operations) && !operations.includes('verify') && !operations.includes('sign')
  );
}

/**
 * The one algorithm that a key is used with: what it says, or what its type has by default. An RSA key
 * without `alg` is for RS256, the default of OpenID Connect (Dynamic Client Registration 1.0, section 2); the
 * other types have only one here. A secret has to say what it is for.
 */
function algorithmFor({ alg, kty, crv }: JWK): Algorithm | undefined {
  if (alg !== undefined) return algorithmNamed(alg);
  if (kty === 'RSA') return 'RS256';
  if (kty === 'EC' && crv === 'P-256') return 'ES256';
  if (kty === 'OKP' && crv === 'Ed25519') return 'EdDSA';
  return undefined;
}

/** Makes a key ready for use, or tells why it can't be used. */
async function parseKey(jwk: JWK, symmetric: boolean): Promise<VerificationKey | string> {
  const member = memberSchema.safeParse(jwk);
  if (!member.success) return member.error.issues.map(({ message }) => message).join(', ');
  const { kid, application_id: applicationId } = member.data;
  const alg = algorithmFor(jwk);
  if (!alg) return `alg must be one of ${algorithms.join(', ')}`;
  if ((jwk.kty === 'oct') !== (alg === 'HS256')) return `alg ${alg} does not fit its key type`;
  if (alg === 'HS256' && !symmetric) return 'a secret (HS256) is taken from a file only';
  try {
    // The public half alone: a private key handed over by mistake can't be used for anything else.
    const key = await importJWK(publicHalf(jwk), alg);
    const weak = tooShort(key) ?? weakExponent(key);
    if (weak) return weak;
    return {
      kid,
      algorithm: alg,
      applicationId: applicationId === undefined ? undefined : toId(applicationId),
      key: key instanceof Uint8Array ? await importSecret(key) : key,
    };
  } catch {
    return `its members are not those of a key for ${alg}`;
  }
}

/** Imports a secret once. As bytes, it would be imported again for every token. */
function importSecret(secret: Uint8Array): Promise<CryptoKey> {
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  return crypto.subtle.importKey('raw', new Uint8Array(secret), algorithm, false, ['verify']);
}

/** Tells if a key is shorter than its algorithm allows; curves have one size. */
function tooShort(key: CryptoKey | Uint8Array): string | undefined {
  if (key instanceof Uint8Array) {
    const enough = key.length * 8 >= minSecretBits;
    return enough ? undefined : `a secret for HS256 has at least ${minSecretBits} bits`;
  }
  const { modulusLength } = key.algorithm as { modulusLength?: number };
  const enough = (modulusLength ?? minModulusBits) >= minModulusBits;
  return enough ? undefined : `an RSA key has at least ${minModulusBits} bits`;
}

/**
 * Checks the public exponent of an RSA key (RFC 8017, section 3.1). With an exponent of 1, for example, anybody could
 * make a valid signature.
 *
 * @returns why the key can't be used; undefined: its exponent is valid, or it is not an RSA key.
 */
function weakExponent(key: CryptoKey | Uint8Array): string | undefined {
  if (key instanceof Uint8Array) return undefined;
  const { publicExponent } = key.algorithm as { publicExponent?: Uint8Array };
  if (!publicExponent) return undefined;
  const exponent = BigInt(`0x${Buffer.from(publicExponent).toString('hex')}`);
  return exponent >= 3n && exponent % 2n === 1n
    ? undefined
    : 'an RSA key has an odd exponent of at least 3';
}

/** The members that make a JWK a private key (RFC 7518, section 6). */
const privateMembers = new Set(['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth']);

/** The public half of a key; a secret (HS256) has none and stays as it is. */
export function publicHalf(jwk: JWK): JWK {
  return Object.fromEntries(Object.entries(jwk).filter(([name]) => !privateMembers.has(name)));
}
