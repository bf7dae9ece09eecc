import { CallAbandoned } from '../model/problems';
import { FairLine } from './fair-line';

/**
 * How many items begin in one turn of the event loop. A call has several steps, and each keeps the loop
 * busy for a fraction of a millisecond.
 */
const itemsPerTurn = 6;

/**
 * While more items than this wait, of at most {@link itemsPerTurn} owners, one begins in each turn. That leaves more time
 * for what has already begun. It is not the rule: with 256 callers, an import then cost the service up to 28 % more.
 * With more owners, six begin as ever, because each owner would wait for many turns.
 */
const flood = 256;

/**
 * Lets a few items begin in each turn of the event loop; their owners take turns. Otherwise, when a
 * thousand arrive together, all other work would wait until each of them has made its first step.
 */
export class Admission<Owner> {
  private readonly line = new FairLine<Owner, () => void>();
  private scheduled = false;
  /** How many items have begun in this turn of the event loop. */
  private begun = 0;

  /**
   * Resolves when it is the owner's turn; at once while none waits and fewer than {@link itemsPerTurn} have begun in
   * this turn of the event loop. So calls that arrive together can share a group.
   *
   * @param signal ends the waiting. So a call that has already ended takes no turn and no memory: a peer could
   * send any number of calls with short deadlines.
   * @throws CallAbandoned if the signal was aborted before.
   */
  async enter(owner: Owner, signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw new CallAbandoned();
    if (this.line.length === 0 && this.begun < itemsPerTurn) {
      this.begun++;
      this.schedule();
      return;
    }
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        if (this.line.remove(owner, begin)) reject(new CallAbandoned());
      };
      const begin = (): void => {
        signal.removeEventListener('abort', giveUp);
        resolve();
      };
      signal.addEventListener('abort', giveUp, { once: true });
      this.line.append(owner, begin);
      this.schedule();
    });
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      this.begun = 0;
      this.beginNext();
    });
  }
  private beginNext(): void {
    const { length, owners } = this.line;
    const most = length > flood && owners <= itemsPerTurn ? 1 : itemsPerTurn;
    for (; this.begun < most; this.begun++) {
      const begin = this.line.shift();
      if (!begin) break;
      begin();
    }
    if (this.begun > 0) this.schedule();
  }
}
