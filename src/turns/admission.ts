import { CallAbandoned } from '../model/problems';
import { FairLine } from './fair-line';

/**
 * How many items begin in one turn of the event loop. A call has several steps, and each keeps the loop
 * busy for a fraction of a millisecond.
 */
const itemsPerTurn = 6;

/**
 * Lets few items begin in each turn of the event loop, and their owners take turns. Otherwise, when a
 * thousand arrive together, all other work would have to wait until each of them has made its first step.
 */
export class Admission<Owner> {
  private readonly line = new FairLine<Owner, () => void>();
  private scheduled = false;

  /**
   * Resolves when it is the owner's turn.
   *
   * @param signal ends the waiting. So a call that has ended already takes no turn and no memory: a peer could
   * make any number of them, with short deadlines.
   * @throws CallAbandoned if the signal was aborted before.
   */
  async enter(owner: Owner, signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw new CallAbandoned();
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
      for (let begun = 0; begun < itemsPerTurn; begun++) this.line.shift()?.();
      if (this.line.length > 0) this.schedule();
    });
  }
}
