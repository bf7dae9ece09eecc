import { LastGood } from '../files/last-good';
import type { Logger } from '../telemetry/log';
import { KeySetError, type KeySet, type VerificationKey } from './key-set';
import type { KeySource } from './key-source';

/**
 * The keys that share tokens are verified with, kept up to date: read again at intervals, and when a
 * token names a key that is not known. When a reading fails, the keys of the last good reading
 * stay. A key that a good reading does not contain is removed.
 */
export class Keys {
  private readonly set: LastGood<KeySet>;
  private readAt = performance.now();
  private askedAt = Number.NEGATIVE_INFINITY;

  private constructor(
    private readonly source: KeySource,
    log: Logger,
    first: KeySet,
  ) {
    let told = describe(first);
    this.set = new LastGood(
      first,
      {
        load: () => source.load(),
        interval: source.interval,
        loaded: (next) => {
          this.readAt = performance.now();
          if (describe(next) === told) return;
          told = describe(next);
          tellChange(next, source, log);
        },
        complaint: 'could not read the share token keys; the old ones stay in use',
        fields: { source: source.description },
      },
      log,
    );
  }

  /**
   * Reads the keys for the first time.
   *
   * @throws KeySetError if they can't be read, if there is none that can be used, or if any can't and
   * the source is strict.
   */
  static async open(source: KeySource, log: Logger): Promise<Keys> {
    try {
      const set = await source.load();
      const [mistake] = set.ignored;
      if (mistake && source.strict) throw new KeySetError(`key ${mistake.kid}: ${mistake.why}`);
      if (set.keys.size === 0) throw new KeySetError('there is no key in it that can be used');
      return new Keys(source, log, set);
    } catch (error) {
      throw new KeySetError(
        `the share token keys at ${source.description} can't be used: ${(error as Error).message}`,
        { cause: error },
      );
    }
  }

  /** The key that a token's header names; the one key of the algorithm, if it names none. */
  async find(kid: string | undefined, algorithm: unknown): Promise<VerificationKey | undefined> {
    const known = this.lookUp(kid, algorithm);
    if (known) return known;
    if (this.set.reading) {
      await this.set.reading;
      const arrived = this.lookUp(kid, algorithm);
      if (arrived) return arrived;
    }
    if (performance.now() - this.askedAt < this.source.cooldown) return undefined;
    this.askedAt = performance.now();
    await this.set.refresh();
    return this.lookUp(kid, algorithm);
  }

  /** How many keys are in use, and how long ago they were last read, in seconds. */
  state(): { readonly keys: number; readonly ageSeconds: number } {
    const ageSeconds = (performance.now() - this.readAt) / 1_000;
    return { keys: this.set.current.keys.size, ageSeconds };
  }

  close(): void {
    this.set.close();
  }

  private lookUp(kid: string | undefined, algorithm: unknown): VerificationKey | undefined {
    const { keys } = this.set.current;
    if (kid !== undefined) return keys.get(kid);
    const candidates = [...keys.values()].filter((key) => key.algorithm === algorithm);
    return candidates.length === 1 ? candidates[0] : undefined;
  }
}

function tellChange(set: KeySet, { description: source }: KeySource, log: Logger): void {
  const level = set.keys.size === 0 ? 'error' : set.ignored.length > 0 ? 'warn' : 'info';
  const kids = [...set.keys.keys()];
  log[level]({ source, kids, ignored: set.ignored }, 'share token keys have changed');
}

/** A text that changes when the key set changes. It does not contain the keys themselves. */
function describe({ keys, ignored }: KeySet): string {
  const used = [...keys.values()].map(({ kid, algorithm, applicationId }) => [
    kid,
    algorithm,
    applicationId,
  ]);
  return JSON.stringify([used, ignored]);
}
