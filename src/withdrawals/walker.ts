import type { Cursor } from '../db/cursor';
import type { MultiDatabase } from '../db/database';
import { databaseFailure, isOutOfReach } from '../db/errors';
import { read } from '../db/query';
import { whyUnreachable } from '../db/reachable';
import type { ApplicationId } from '../model/ids';
import type { WithdrawnCopy } from '../model/withdrawals';
import { nextWaitingSource, placeBehind, waitingCopies } from '../store/withdrawals/chain';
import { tellCopy } from '../store/withdrawals/withdraw';
import type { Logger } from '../telemetry/log';
import { LogThrottle } from '../telemetry/log-throttle';

/** How many copies of the sessions of one application are told in a turn. */
const copiesOfTurn = 10;

/** After how long a copy is tried again that could not be told, in milliseconds. */
const pauseAfterFailure = 30_000;

/**
 * Tells the applications of copies that their source was withdrawn, down the chain. Every process does this, and they
 * share the work. The applications that shared the sessions take turns, so an application with thousands of copies
 * does not hold up the others.
 */
export class WithdrawalWalker {
  /** Where the next turn of an application begins. A copy that is locked is skipped, and tried again in a later turn. */
  private readonly places = new Map<ApplicationId, Cursor>();
  /** Copies that could not be told, by {@link keyOf}, and until when they are left out. */
  private readonly failed = new Map<string, number>();
  private readonly throttle = new LogThrottle();

  /**
   * @param db has a connection that nobody else uses.
   * @param pause after how long a copy is tried again that could not be told, in milliseconds.
   */
  constructor(
    private readonly db: MultiDatabase,
    private readonly clock: () => Date,
    private readonly log: Logger,
    private readonly pause = pauseAfterFailure,
  ) {}

  /**
   * Gives each application its turn.
   *
   * @param signal stops the walk after the current copy.
   * @returns whether any was told. If so, walk again: a told copy may have copies itself.
   * @throws the error of a database that is out of reach. The next walk begins behind the current copy, because that
   * copy may be the cause. An error that is only about one copy holds up no other.
   */
  async walk(signal: AbortSignal): Promise<boolean> {
    this.forgetPauses();
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
    for (const copy of items) {
      if (signal.aborted) break;
      if (!this.failed.has(keyOf(copy)) && (await this.tell(copy))) told += 1;
    }
    return told;
  }

  /** @returns false if the copy could not be told: it is tried again later, and after a pause unless it was only locked. */
  private async tell(copy: WithdrawnCopy): Promise<boolean> {
    try {
      return await tellCopy(this.db, copy, this.clock);
    } catch (error) {
      const failure = databaseFailure(error);
      if (failure === 'lock wait' || failure === 'conflict') return false;
      if (isOutOfReach(failure)) {
        this.places.set(copy.parent.applicationId, placeBehind(copy));
        throw error;
      }
      this.failed.set(keyOf(copy), performance.now() + this.pause);
      if (this.throttle.allows()) {
        const { withdrawalId, sessionId } = copy;
        const about = { withdrawal_id: withdrawalId, session_id: sessionId };
        const { why } = whyUnreachable(error as Error);
        this.log.warn({ why, ...about }, 'could not tell of a withdrawal: this copy waits');
      }
      return false;
    }
  }

  /** Lets copies be tried again whose pause is over. */
  private forgetPauses(): void {
    const now = performance.now();
    for (const [key, until] of this.failed) if (until <= now) this.failed.delete(key);
  }
}

function keyOf({ withdrawalId, sessionId }: WithdrawnCopy): string {
  return `${withdrawalId}/${sessionId}`;
}
