import { setTimeout } from 'node:timers/promises';
import { firstGood } from '../files/first-good';
import { LastGood } from '../files/last-good';
import type { Logger } from '../telemetry/log';
import { KeySetError, type KeySet, type VerificationKey } from './key-set';
import type { KeySource } from './key-source';
import type { Algorithm } from './share-token';

/**
 * The keys that share tokens are verified with, kept up to date: read again at intervals, and when a
 * token names a key that is not known. When a reading fails, the keys of the last good reading
 * stay. A key that a good reading does not contain is removed.
 */
export class Keys {
  private readonly set: LastGood<KeySet>;
  private readAt = performance.now();
  private askedAt = Number.NEGATIVE_INFINITY;
  /** Ends when the set may be read again for unknown keys. */
  private pausing: Promise<void> | undefined;
  /** Since when every reading has had no key that can be used. */
  private emptySince: number | undefined;

  private constructor(
    private readonly source: KeySource,
    log: Logger,
    first: KeySet,
  ) {
    let told = describe(first);
    this.set = new LastGood(
      first,
      {
        load: async () => this.settled(await source.load()),
        interval: source.interval,
        loaded: (next) => {
          this.readAt = performance.now();
          if (describe(next) === told) return;
          told = describe(next);
          tell(next, source, log, 'share token keys have changed');
        },
        complaint: 'could not read the share token keys; the old ones stay in use',
        fields: { source: source.description },
      },
      log,
    );
  }

  /**
   * Reads the keys for the first time. Waits while a remote does not give any.
   *
   * @param signal ends the waiting.
   * @throws KeySetError if a file can't be read, has no key that can be used, or has one that can't; the
   * signal's reason if it is aborted.
   */
  static async open(source: KeySource, log: Logger, signal: AbortSignal): Promise<Keys> {
    const set = await firstGood(() => readFirst(source), {
      passes: () => source.remote,
      failed: ({ message: why }) => {
        log.warn({ why }, 'waiting for the share token keys');
      },
      signal,
    });
    tell(set, source, log, 'share token keys');
    return new Keys(source, log, set);
  }

  /**
   * The key that a token's header names; the one key of the algorithm, if it names none. Keys may share a
   * kid, if they are for different algorithms.
   */
  known(kid: string | undefined, algorithm: Algorithm): VerificationKey | undefined {
    const { keys } = this.set.current;
    const candidates = keys.filter(
      (key) => key.algorithm === algorithm && (kid === undefined || key.kid === kid),
    );
    return candidates.length === 1 ? candidates[0] : undefined;
  }

  /**
   * Like {@link known}, but if there is no such key, the set is read again. If an unknown key has just had it read,
   * there is a pause first. So made-up kids can't flood the source, and can't keep a new key from being found.
   */
  async find(kid: string | undefined, algorithm: Algorithm): Promise<VerificationKey | undefined> {
    if (!this.takes(algorithm)) return undefined;
    const known = this.known(kid, algorithm);
    if (known) return known;
    if (this.set.reading) {
      await this.set.reading;
      const arrived = this.known(kid, algorithm);
      if (arrived) return arrived;
    }
    const pause = this.askedAt + this.source.cooldown - performance.now();
    if (pause > 0) {
      await (this.pausing ??= this.pause(pause));
      const arrived = this.known(kid, algorithm);
      if (arrived) return arrived;
    }
    this.askedAt = performance.now();
    await this.set.refresh();
    return this.known(kid, algorithm);
  }

  /** Whether there is a key of that kid, for whatever algorithm. */
  has(kid: string): boolean {
    return this.set.current.keys.some((key) => key.kid === kid);
  }

  /**
   * Whether the set may have keys of an algorithm that are not known here, because it is a remote set and the last
   * reading failed.
   */
  mayHaveMore(algorithm: Algorithm): boolean {
    return this.source.remote && this.set.failed && this.takes(algorithm);
  }

  private async pause(milliseconds: number): Promise<void> {
    await setTimeout(milliseconds, undefined, { ref: false });
    this.pausing = undefined;
  }

  /** A set from a URL never has secrets. */
  private takes(algorithm: Algorithm): boolean {
    return !(this.source.remote && algorithm === 'HS256');
  }

  /** After an unknown key has had the set read, how long until another one may do so, in milliseconds. */
  get cooldown(): number {
    return this.source.cooldown;
  }

  /** How many keys are in use, and how long ago they were last read, in seconds. */
  state(): { readonly keys: number; readonly ageSeconds: number } {
    const ageSeconds = (performance.now() - this.readAt) / 1_000;
    return { keys: this.set.current.keys.length, ageSeconds };
  }

  close(): void {
    this.set.close();
  }

  /**
   * A remote that has no key for a moment is taken to be broken, and one that goes on having none has
   * withdrawn them.
   *
   * @throws KeySetError if the set has no key that can be used, and had some a moment ago.
   */
  private settled(set: KeySet): KeySet {
    if (set.keys.length > 0) {
      this.emptySince = undefined;
      return set;
    }
    this.emptySince ??= performance.now();
    if (performance.now() - this.emptySince >= this.source.emptyGrace) return set;
    throw new KeySetError(noKey);
  }
}

const noKey = 'there is no key in it that can be used';

/** @throws KeySetError if the keys can't be read, or are not fit to start with. */
async function readFirst(source: KeySource): Promise<KeySet> {
  try {
    const set = await source.load();
    const mistake = set.ignored.find(({ foreign }) => !foreign);
    if (mistake && !source.remote) throw new KeySetError(`key ${mistake.kid}: ${mistake.why}`);
    if (set.keys.length === 0) throw new KeySetError(noKey);
    return set;
  } catch (error) {
    throw new KeySetError(
      `the share token keys at ${source.description} can't be used: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

function tell(set: KeySet, { description: source }: KeySource, log: Logger, message: string): void {
  const mistaken = set.ignored.some(({ foreign }) => !foreign);
  const level = set.keys.length === 0 ? 'error' : mistaken ? 'warn' : 'info';
  const kids = set.keys.map(({ kid }) => kid);
  const ignored = set.ignored.map(({ kid, why }) => ({ kid, why }));
  log[level]({ source, kids, ignored }, message);
}

/** A text that changes when the key set changes. It does not contain the keys themselves. */
function describe({ keys, ignored }: KeySet): string {
  const used = keys.map(({ kid, algorithm, applicationId }) => [kid, algorithm, applicationId]);
  return JSON.stringify([used, ignored]);
}
