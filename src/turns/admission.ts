import { FairLines, type Place } from './fair-lines';

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

/** Something that waits until it may begin. Exactly one of the two is called, unless it leaves before. */
export interface Waiting {
  readonly begin: () => void;
  /** There is no room for it. */
  readonly refuse: () => void;
}

/**
 * Lets a few items begin in each turn of the event loop; the groups of their owners take turns, and in each group the
 * owners. Otherwise, when a thousand arrive together, all other work would wait until each of them has made its first
 * step.
 */
export class Admission<Group, Owner> {
  private readonly line = new FairLines<Group, Owner, Waiting>();
  private scheduled = false;
  /** How many items have begun in this turn of the event loop. */
  private begun = 0;

  /** @param limit how many items may wait. */
  constructor(private readonly limit: number) {}

  /** How many items wait. */
  get waiting(): number {
    return this.line.length;
  }

  /**
   * Lets an item begin when it is its turn; at once while none waits and fewer than {@link itemsPerTurn} have
   * begun in this turn of the event loop. So calls that arrive together can share a group.
   *
   * If too many wait, one is refused: the newest one of the owner with the most in the group with the most, or else
   * this one.
   *
   * @returns what has become of it so far.
   */
  enter(place: Place<Group, Owner>, item: Waiting): 'begun' | 'refused' | 'waits' {
    if (this.line.length === 0 && this.begun < itemsPerTurn) {
      this.begun++;
      this.schedule();
      item.begin();
      return 'begun';
    }
    if (this.line.length >= this.limit) {
      const giving = this.line.removeNewestOfTheLargest(place);
      (giving ?? item).refuse();
      if (giving === undefined) return 'refused';
    }
    this.line.append(place, item);
    this.schedule();
    return 'waits';
  }

  /** Ends the waiting of an item, if it waits. So a call that has already ended takes no turn and no memory. */
  leave(place: Place<Group, Owner>, item: Waiting): void {
    this.line.remove(place, item);
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
    const few = this.line.length > flood && this.line.owners <= itemsPerTurn;
    const most = few ? 1 : itemsPerTurn;
    for (; this.begun < most; this.begun++) {
      const next = this.line.shift();
      if (!next) break;
      next.begin();
    }
    if (this.begun > 0) this.schedule();
  }
}
