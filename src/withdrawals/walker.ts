import type { Cursor } from '../db/cursor';
import type { MultiDatabase } from '../db/database';
import { databaseFailure } from '../db/errors';
import { read } from '../db/query';
import { whyUnreachable } from '../db/reachable';
import type { ApplicationId } from '../model/ids';
import type { WithdrawnCopy } from '../model/withdrawals';
import { nextWaitingSource, waitingCopies } from '../store/withdrawals/chain';
import { tellCopy } from '../store/withdrawals/withdraw';
import type { Logger } from '../telemetry/log';
import { LogThrottle } from '../telemetry/log-throttle';

/** How many copies of the sessions of one application are told in a turn. */
const copiesOfTurn = 10;

/**
 * Tells the applications of copies that their source was withdrawn, down the chain. Every process does this, and they
 * share the work. The applications that shared the sessions take turns, so that none holds up the withdrawals of the
 * others with thousands of copies.
 */
export class WithdrawalWalker {
  private readonly throttle = new LogThrottle();
  private timer: NodeJS.Timeout | undefined;
  private closed = false;
  /** Where the next turn of an application begins. So copies that somebody holds do not hold up the others. */
  private readonly places = new Map<ApplicationId, Cursor>();

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
      const next = (after?: ApplicationId) => read(this.db, nextWaitingSource(after));
      for (let source = await next(); source && !this.closed; source = await next(source)) {
        told += await this.turn(source);
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

  /** @returns how many copies were told. */
  private async turn(source: ApplicationId): Promise<number> {
    const page = { size: copiesOfTurn, after: this.places.get(source) };
    const { items, end } = await read(this.db, waitingCopies(source, page));
    if (end) this.places.set(source, end);
    else this.places.delete(source);
    let told = 0;
    for (const copy of items) if (!this.closed && (await this.tell(copy))) told += 1;
    return told;
  }

  /** @returns false if somebody holds the copy, or wins against this transaction: it is tried again later. */
  private async tell(copy: WithdrawnCopy): Promise<boolean> {
    try {
      return await tellCopy(this.db, copy, this.clock());
    } catch (error) {
      if (!['lock wait', 'conflict'].includes(databaseFailure(error))) throw error;
      return false;
    }
  }
}
