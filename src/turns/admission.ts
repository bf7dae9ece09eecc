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

  /** Resolves when it is the owner's turn. */
  enter(owner: Owner): Promise<void> {
    return new Promise((resolve) => {
      this.line.append(owner, resolve);
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
