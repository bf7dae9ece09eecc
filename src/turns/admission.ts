import { FairLines, type Place } from './fair-lines';

/** What waits. */
export type Crowd = Readonly<
  Pick<FairLines<unknown, unknown, unknown>, 'length' | 'groups' | 'owners'>
>;

/** Begins something. */
type Begin = () => void;

/**
 * Lets a few items begin in each turn of the event loop; the groups of their owners take turns, and in each group the
 * owners. Otherwise, when a thousand arrive together, all other work would wait until each of them has made its first
 * step.
 */
export class Admission<Group, Owner> {
  private readonly line = new FairLines<Group, Owner, Begin>();
  private scheduled = false;
  /** How many items have begun in this turn of the event loop. */
  private begun = 0;

  /**
   * @param perTurn how many items begin in one turn of the event loop, by what waits; at least 1. A call has several steps,
   * and each keeps the loop busy for a fraction of a millisecond.
   */
  constructor(private readonly perTurn: (crowd: Crowd) => number) {}

  /** How many items wait. */
  get waiting(): number {
    return this.line.length;
  }

  /** How many items of each owner wait. */
  lengths(): IterableIterator<readonly [Owner, number]> {
    return this.line.lengths();
  }

  /**
   * Lets an item begin when it is its turn; at once while none waits and few have begun in this
   * turn of the event loop. So imports that arrive together can share a transaction.
   *
   * @returns whether it waits.
   */
  enter(place: Place<Group, Owner>, begin: Begin): boolean {
    if (this.line.length === 0 && this.begun < this.perTurn(this.line)) {
      this.begun++;
      this.schedule();
      begin();
      return false;
    }
    this.line.append(place, begin);
    this.schedule();
    return true;
  }

  /** Ends the waiting of an item, if it waits. So a call that has already ended takes no turn and no memory. */
  leave(place: Place<Group, Owner>, begin: Begin): void {
    this.line.remove(place, begin);
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
    const most = this.perTurn(this.line);
    for (; this.begun < most; this.begun++) {
      const begin = this.line.shift();
      if (!begin) break;
      begin();
    }
    if (this.begun > 0) this.schedule();
  }
}
