import { readFile } from 'node:fs/promises';
import { createRemoteJWKSet } from 'jose';
import { KeySetError, parseKeySet, type KeySet } from './key-set';

/** Where the key set comes from. */
export interface KeySource {
  /** What to call it in a log line. */
  readonly description: string;
  /** How often it is read again, in milliseconds. */
  readonly interval: number;
  /** The shortest time between two readings that an unknown kid may cause, in milliseconds. */
  readonly cooldown: number;
  /**
   * Whether the service refuses to start if a key can't be used. In a file, such a key is a mistake
   * of the operator. In a remote set, it may be meant for somebody else.
   */
  readonly strict: boolean;
  /** Reads the set as it is now. */
  load(): Promise<KeySet>;
}

/** A file is cheap to read: a rotation takes effect within a second. */
const fileInterval = 1_000;

/** A key that was withdrawn from a remote set stops working within this time, if it answers. */
const remoteInterval = 60_000;

/** The least time between two fetches for unknown kids: made-up kids must not flood the remote. */
const remoteCooldown = 10_000;

const remoteTimeout = 5_000;

/**
 * The source that a setting names.
 *
 * @param location the path of a file, or an https URL; plain http is for loopback only.
 * @throws KeySetError if it is a URL of another kind, or one with a password in it.
 */
export function keySource(location: string): KeySource {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(location) ? remoteSource(location) : fileSource(location);
}

function fileSource(path: string): KeySource {
  let last: { readonly text: string; readonly set: KeySet } | undefined;
  return {
    description: path,
    interval: fileInterval,
    cooldown: 0,
    strict: true,
    async load() {
      const text = await readFile(path, 'utf8');
      if (last?.text !== text) {
        last = { text, set: await parseKeySet(parseJson(text), { symmetric: true }) };
      }
      return last.set;
    },
  };
}

/**
 * Reads JSON that may hold a secret.
 *
 * @throws KeySetError if it is not JSON.
 */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not the parser's own message: it quotes the text, which may hold a secret.
    throw new KeySetError('not JSON');
  }
}

function remoteSource(location: string): KeySource {
  const url = new URL(location);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback(url.hostname))) {
    throw new KeySetError('a remote key set needs https (plain http is for loopback only)');
  }
  if (url.username !== '' || url.password !== '') {
    throw new KeySetError('the URL of a key set can not hold a password');
  }
  // jose only fetches. The interval and the cooldown above decide when, so that known keys still
  // work while the remote is down.
  const remote = createRemoteJWKSet(url, { timeoutDuration: remoteTimeout });
  return {
    description: url.origin + url.pathname,
    interval: remoteInterval,
    cooldown: remoteCooldown,
    strict: false,
    async load() {
      await remote.reload();
      return parseKeySet(remote.jwks(), { symmetric: false });
    },
  };
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d+){3}$/.test(hostname);
}
