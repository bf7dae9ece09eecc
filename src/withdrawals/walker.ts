import type { Cursor } from '../db/cursor';
import type { MultiDatabase } from '../db/database';
import { databaseFailure } from '../db/errors';
import { read } from '../db/query';
import type { ApplicationId } from '../model/ids';
import type { WithdrawnCopy } from '../model/withdrawals';
import { nextWaitingSource, waitingCopies } from '../store/withdrawals/chain';
import { tellCopy } from '../store/withdrawals/withdraw';

/** How many copies of the sessions of one application are told in a turn. */
const copiesOfTurn = 10;

/**
 * Tells the applications of copies that their source was withdrawn, down the chain. Every process does this, and they
 * share the work. The applications that shared the sessions take turns, so an application with thousands of copies
 * does not hold up the others.
 */
export class WithdrawalWalker {
  /** Where the next turn of an application begins. A copy that is locked is skipped, and tried again in a later turn. */
  private readonly places = new Map<ApplicationId, Cursor>();

  /** @param db has a connection that nobody else uses. */
  constructor(
    private readonly db: MultiDatabase,
    private readonly clock: () => Date,
  ) {}

  /**
   * Gives each application its turn.
   *
   * @param signal stops the walk after the current copy.
   * @returns whether any was told. If so, walk again: a told copy may have copies itself.
   */
  async walk(signal: AbortSignal): Promise<boolean> {
    const next = (after?: ApplicationId) => read(this.db, nextWaitingSource(after));
    let told = 0;
    for (let source = await next(); source && !signal.aborted; source = await next(source)) {
      told += await this.turn(source, signal);
    }
    return told > 0;
  }

  /** @returns how many copies were told. */
  private async turn(source: ApplicationId, signal: AbortSignal): Promise<number> {
    const page = { size: copiesOfTurn, after: this.places.get(source) };
    const { items, end } = await read(this.db, waitingCopies(source, page));
    if (end) this.places.set(source, end);
    else this.places.delete(source);
    let told = 0;
    for (const copy of items) if (!signal.aborted && (await this.tell(copy))) told += 1;
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
