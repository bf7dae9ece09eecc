import { FairLine } from './fair-line';

/**
 * How many items begin in one turn of the event loop. Each call keeps it busy for a fraction of a
 * millisecond, several times.
 */
const itemsPerTurn = 6;

/**
 * Lets few items begin in each turn of the event loop, and their owners take turns. Otherwise a thousand
 * that arrive together would hold up the next step of everybody's work by the time that all of them take.
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
