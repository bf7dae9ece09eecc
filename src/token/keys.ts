import type { Logger } from '../telemetry/log';
import { Reminder } from '../telemetry/log-throttle';
import { KeySetError, type KeySet, type VerificationKey } from './key-set';
import type { KeySource } from './key-source';

/**
 * The keys that share tokens are verified with, kept up to date: read again at intervals, and when a
 * token names a key that is not known. When a reading fails, the keys of the last good one stay; what
 * a good one leaves out is gone.
 */
export class Keys {
  private readonly timer: NodeJS.Timeout;
  private refreshing: Promise<void> | undefined;
  private readAt = performance.now();
  private askedAt = Number.NEGATIVE_INFINITY;
  private readonly reminder = new Reminder();

  private constructor(
    private readonly source: KeySource,
    private readonly log: Logger,
    private current: KeySet,
  ) {
    this.timer = setInterval(() => void this.refresh(), source.interval).unref();
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
    if (this.refreshing) {
      await this.refreshing;
      const arrived = this.lookUp(kid, algorithm);
      if (arrived) return arrived;
    }
    if (performance.now() - this.askedAt < this.source.cooldown) return undefined;
    this.askedAt = performance.now();
    await this.refresh();
    return this.lookUp(kid, algorithm);
  }

  /** How many keys are in use, and how long ago they were last read, in seconds. */
  state(): { readonly keys: number; readonly ageSeconds: number } {
    const ageSeconds = (performance.now() - this.readAt) / 1_000;
    return { keys: this.current.keys.size, ageSeconds };
  }

  close(): void {
    clearInterval(this.timer);
  }

  private lookUp(kid: string | undefined, algorithm: unknown): VerificationKey | undefined {
    if (kid !== undefined) return this.current.keys.get(kid);
    const candidates = [...this.current.keys.values()].filter((key) => key.algorithm === algorithm);
    return candidates.length === 1 ? candidates[0] : undefined;
  }

  private refresh(): Promise<void> {
    this.refreshing ??= this.reload().finally(() => {
      this.refreshing = undefined;
    });
    return this.refreshing;
  }

  private async reload(): Promise<void> {
    const { description: source } = this.source;
    try {
      const next = await this.source.load();
      if (next !== this.current && describe(next) !== describe(this.current)) {
        const level = next.keys.size === 0 ? 'error' : next.ignored.length > 0 ? 'warn' : 'info';
        const kids = [...next.keys.keys()];
        this.log[level]({ source, kids, ignored: next.ignored }, 'share token keys have changed');
      }
      this.current = next;
      this.readAt = performance.now();
      this.reminder.reset();
    } catch (error) {
      if (!this.reminder.isDue()) return;
      const why = (error as Error).message;
      this.log.error(
        { source, why },
        'could not read the share token keys; the old ones stay in use',
      );
    }
  }
}

/** What people are told when it changes; never the keys themselves. */
function describe({ keys, ignored }: KeySet): string {
  const used = [...keys.values()].map(({ kid, algorithm, applicationId }) => [
    kid,
    algorithm,
    applicationId,
  ]);
  return JSON.stringify([used, ignored]);
}
