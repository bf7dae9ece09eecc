import type { MultiDatabase } from '../db/database';
import { databaseFailure } from '../db/errors';
import { read } from '../db/query';
import { whyUnreachable } from '../db/reachable';
import { waitingCopies, type WaitingCopy } from '../store/withdrawals/chain';
import { tellCopy } from '../store/withdrawals/withdraw';
import type { Logger } from '../telemetry/log';
import { LogThrottle } from '../telemetry/log-throttle';

/** How many copies are looked for at a time. */
const copiesAtOnce = 50;

/**
 * Tells the applications of copies that their source was withdrawn, down the chain. Every process does this, and they
 * share the work. It waits for the locks of sessions, so it is not part of the numbering of events, which would stand
 * still meanwhile.
 */
export class WithdrawalWalker {
  private readonly throttle = new LogThrottle();
  private timer: NodeJS.Timeout | undefined;
  private closed = false;
  /** Where the next look begins; undefined: at the first. So copies that nobody can lock do not hold up the others. */
  private after: WaitingCopy | undefined;

  /**
   * @param db has a connection that nobody else uses.
   * @param interval the pause between two looks, in milliseconds.
   */
  constructor(
    private readonly db: MultiDatabase,
    private readonly interval: number,
    private readonly clock: () => Date,
    private readonly log: Logger,
  ) {
    this.wait(interval);
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
  }

  private wait(pause: number): void {
    if (this.closed) return;
    this.timer = setTimeout(() => void this.look(), pause).unref();
  }

  private async look(): Promise<void> {
    let told = 0;
    try {
      const waiting = await read(this.db, waitingCopies(this.after, copiesAtOnce));
      this.after = waiting.length === copiesAtOnce ? waiting.at(-1) : undefined;
      for (const copy of waiting) {
        if (this.closed) return;
        if (await this.tell(copy)) told += 1;
      }
      this.throttle.reset();
    } catch (error) {
      const { why } = whyUnreachable(error as Error);
      if (!this.closed && this.throttle.allows())
        this.log.warn({ why }, 'could not tell of withdrawals: they wait');
    }
    // Those that were told may have copies of their own.
    this.wait(told > 0 ? 0 : this.interval);
  }

  /** @returns false if somebody holds the copy, or wins against this transaction: it is tried again later. */
  private async tell(copy: Parameters<typeof tellCopy>[1]): Promise<boolean> {
    try {
      await tellCopy(this.db, copy, this.clock());
      return true;
    } catch (error) {
      if (!['lock wait', 'conflict'].includes(databaseFailure(error))) throw error;
      return false;
    }
  }
}
