import { readRegularFile } from '../files/regular-file';
import { isLoopbackHost } from '../model/loopback';
import { errorCode } from '../model/problems';
import { KeySetError, parseKeySet, type KeySet } from './key-set';

/** Where the key set comes from. */
export interface KeySource {
  /** What to call it in a log line. */
  readonly description: string;
  /** How often it is read again, in milliseconds. */
  readonly interval: number;
  /**
   * The shortest time between two readings that unknown kids may cause, in milliseconds. A token with an unknown kid
   * waits until then.
   */
  readonly cooldown: number;
  /**
   * What is wrong with a file is a mistake of the operator, and the service does not start. A remote is
   * somebody else's: it may be away for a moment, and its keys may be meant for others as well.
   */
  readonly remote: boolean;
  /** How long keys stay in use though every reading has none that can be used, in milliseconds. */
  readonly emptyGrace: number;
  /** Reads the set as it is now. */
  load(): Promise<KeySet>;
}

/** A file is cheap to read: a rotation takes effect within a second. */
const fileInterval = 1_000;

/** A key that was withdrawn from a remote set stops working within this time, if it answers. */
const remoteInterval = 60_000;

/**
 * Less than an interval: a set that is empty at two readings in turn is empty on purpose. So all keys that
 * were withdrawn together stop working within two intervals.
 */
const remoteEmptyGrace = remoteInterval / 2;

/** The least time between two fetches for unknown kids: made-up kids must not flood the remote. */
const remoteCooldown = 2_000;

const remoteTimeout = 5_000;

/** The largest set that is read from a URL, in bytes: enough for some thousand keys. */
const remoteBytes = 1_048_576;

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
    remote: false,
    emptyGrace: 0,
    async load() {
      const text = (await readRegularFile(path)).toString('utf8');
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
    // Editors on Windows put a byte order mark in front, which is no part of JSON (RFC 8259, section 8.1).
    return JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch {
    // Not the parser's own message: it quotes the text, which may hold a secret.
    throw new KeySetError('not JSON');
  }
}

function remoteSource(location: string): KeySource {
  const url = new URL(location);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopbackHost(url.hostname))) {
    throw new KeySetError('a remote key set needs https (plain http is for loopback only)');
  }
  if (url.username !== '' || url.password !== '') {
    throw new KeySetError('the URL of a key set can not hold a password');
  }
  return {
    description: url.origin + url.pathname,
    interval: remoteInterval,
    cooldown: remoteCooldown,
    remote: true,
    emptyGrace: remoteEmptyGrace,
    async load() {
      return parseKeySet(parseJson(await fetchText(url)), { symmetric: false });
    },
  };
}

/**
 * Fetches a small text. Redirects are not followed: they might lead to a place without TLS.
 *
 * @throws KeySetError if it does not come, with the cause's code or the HTTP status.
 */
async function fetchText(url: URL): Promise<string> {
  try {
    const response = await fetch(url, {
      headers: { accept: 'application/jwk-set+json, application/json' },
      redirect: 'manual',
      signal: AbortSignal.timeout(remoteTimeout),
    });
    if (response.ok) return await bodyOf(response);
    await response.body?.cancel();
    throw new KeySetError(`it answers with HTTP status ${response.status}`);
  } catch (error) {
    if (error instanceof KeySetError) throw error;
    throw new KeySetError(`it can't be fetched: ${whyNotFetched(error as Error)}`, {
      cause: error,
    });
  }
}

/**
 * The text of an answer. Its size is counted while it is read, because a small compressed answer may contain a
 * very large text.
 *
 * @throws KeySetError if it is too large.
 */
async function bodyOf({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of (body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > remoteBytes) throw new KeySetError(`it has over ${remoteBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** fetch itself only says that it has failed: why is in the cause, or in the causes of that. */
function whyNotFetched(error: Error): string {
  if (error.name === 'TimeoutError') return `no answer within ${remoteTimeout / 1_000} seconds`;
  const cause = error.cause instanceof Error ? error.cause : error;
  return errorCode(cause) ?? cause.message;
}
