import type { Logger } from '../telemetry/logger';
import type { VerificationKey } from './key-set';
import { KeySetError, type KeySet } from './key-set';
import type { KeySource } from './key-source';

/**
 * The keys that share tokens are verified with, kept up to date: read again at intervals, and when a
 * token names a key that is not known. When a reading fails, the keys of the last good one stay.
 */
export class Keys {
  private readonly timer: NodeJS.Timeout;
  private refreshing: Promise<void> | undefined;
  private askedAt = Number.NEGATIVE_INFINITY;
  private failing = false;

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
   * @throws KeySetError if they can't be read, or if there is none that can be used.
   */
  static async open(source: KeySource, log: Logger): Promise<Keys> {
    return new Keys(source, log, await load(source));
  }

  /** The key that a token's header names; the one key of the algorithm, if it names none. */
  async find(kid: string | undefined, algorithm: unknown): Promise<VerificationKey | undefined> {
    const known = this.lookUp(kid, algorithm);
    if (known || performance.now() - this.askedAt < this.source.cooldown) return known;
    this.askedAt = performance.now();
    await this.refresh();
    return this.lookUp(kid, algorithm);
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
    try {
      const next = await load(this.source);
      this.logChange(next);
      this.current = next;
      this.failing = false;
    } catch (error) {
      if (!this.failing) {
        this.log.error(
          { source: this.source.description, why: (error as Error).message },
          'could not read the share token keys; the known ones stay in use',
        );
      }
      this.failing = true;
    }
  }

  private logChange(next: KeySet): void {
    const kids = [...next.keys.keys()];
    if (!this.failing && kids.join('\n') === [...this.current.keys.keys()].join('\n')) return;
    this.log.info({ source: this.source.description, kids }, 'share token keys read');
  }
}

async function load(source: KeySource): Promise<KeySet> {
  try {
    const set = await source.load();
    if (set.keys.size > 0) return set;
    throw new KeySetError('there is no key in it that can be used');
  } catch (error) {
    const why = error instanceof Error ? error.message : 'unknown';
    throw new KeySetError(`the share token keys at ${source.description} can't be used: ${why}`, {
      cause: error,
    });
  }
}
