import { CallAbandoned } from '../model/problems';
import { FairLine, requireRoom } from './fair-line';

/** How much work runs at the same time, and how much waits. */
export interface TurnsOptions<Owner> {
  /** Pieces of work that run at the same time. */
  readonly atOnce: number;
  /** How many of them may be of an owner now. If it is fewer than all, one owner never takes every place. */
  readonly ofOneOwner: (owner: Owner) => number;
  /**
   * Pieces of work that wait, at most. If there are more, the newest of the owner with the most is refused, if that
   * owner has at least two more than the newcomer's; otherwise, the newcomer.
   */
  readonly limit: number;
}

/** Work that waits for its turn. */
interface Waiting<Owner> {
  readonly owner: Owner;
  readonly begin: () => void;
  readonly refuse: (error: Error) => void;
}

/**
 * Lets a bounded number of pieces of work run at the same time. The others wait, and their owners take
 * turns.
 */
export class Turns<Owner> {
  private readonly line = new FairLine<Owner, Waiting<Owner>>();
  private readonly running = new Map<Owner, number>();
  private free: number;

  constructor(private readonly options: TurnsOptions<Owner>) {
    this.free = options.atOnce;
  }

  /** How many pieces of work wait. */
  get waiting(): number {
    return this.line.length;
  }

  /**
   * Runs work when it is its turn.
   *
   * @param signal ends the waiting. Once the work has begun, the signal has no effect.
   * @throws ServiceError with OVERLOADED if too much work waits.
   * @throws CallAbandoned if the signal was aborted before the work began.
   */
  async run<T>(owner: Owner, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    if (signal.aborted) throw new CallAbandoned();
    // Its owner may have more places than when the last work ended. Those that wait for them come first.
    this.beginWaiting();
    if (!this.mayBegin(owner)) await this.wait(owner, signal);
    else this.begin(owner);
    try {
      return await work();
    } finally {
      this.end(owner);
    }
  }

  private mayBegin(owner: Owner): boolean {
    return this.free > 0 && this.hasPlace(owner);
  }

  private hasPlace(owner: Owner): boolean {
    return (this.running.get(owner) ?? 0) < this.options.ofOneOwner(owner);
  }

  private begin(owner: Owner): void {
    this.free--;
    this.running.set(owner, (this.running.get(owner) ?? 0) + 1);
  }

  private end(owner: Owner): void {
    this.free++;
    const left = (this.running.get(owner) ?? 0) - 1;
    if (left > 0) this.running.set(owner, left);
    else this.running.delete(owner);
    this.beginWaiting();
  }

  /** Begins all that has a place now. */
  private beginWaiting(): void {
    while (this.free > 0) {
      const next = this.line.shift((owner) => this.hasPlace(owner));
      if (!next) break;
      next.begin();
    }
  }

  /** Waits for a turn, and takes it. */
  private wait(owner: Owner, signal: AbortSignal): Promise<void> {
    requireRoom([this.line], this.options.limit, owner, ({ refuse }, error) => {
      refuse(error);
    });
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        if (this.line.remove(owner, waiting)) reject(new CallAbandoned());
      };
      const waiting: Waiting<Owner> = {
        owner,
        begin: () => {
          signal.removeEventListener('abort', giveUp);
          this.begin(owner);
          resolve();
        },
        refuse: (error) => {
          signal.removeEventListener('abort', giveUp);
          reject(error);
        },
      };
      signal.addEventListener('abort', giveUp, { once: true });
      this.line.append(owner, waiting);
    });
  }
}
