import type { TextDatabase } from '../../db/database';
import { defaultRetryPolicy, readRetryPolicy, type Retry } from '../../db/retry';
import type { ApplicationId } from '../../model/ids';
import { CallAbandoned } from '../../model/problems';
import type { CallerMix } from '../../turns/caller-mix';
import { Turns } from '../../turns/turns';

/** Runs work on the database, and retries it by the policy that fits. */
export type OnDatabase = <T>(work: (db: TextDatabase) => Promise<T>) => Promise<T>;

/**
 * A queue in which calls wait for the database. Each line has its own connections, one for each call that runs
 * at the same time, so no call waits for a connection that another line uses.
 */
export interface CallLine {
  /** Runs work for a call when it is the turn of its application. */
  run<T>(
    owner: ApplicationId,
    signal: AbortSignal,
    work: (db: TextDatabase) => Promise<T>,
  ): Promise<T>;
  /** How much work waits. */
  readonly waiting: number;
}

/** Calls in `reads` only read, for a short time. Those in `shares` write, and may wait for a lock. */
export type LineName = 'reads' | 'shares';

/** The lines of all calls that are not imports. */
export type CallLines = Readonly<Record<LineName, CallLine>>;

/** How many pieces of work of a line run at the same time. Its pool has as many connections. */
export const lineWidth = 4;

/** How many pieces of work wait in a line, at most: see `TurnsOptions.limit`. */
export const lineLimit = 1_000;

/** How long a statement of the line `reads` may run, in seconds: a third of a call's usual deadline. */
export const readSeconds = 5;

/**
 * Makes the line for calls that read. For a call that is given up, nothing begins and nothing is retried.
 *
 * Half of the places are always left for the other applications. If another application has called within the last
 * second, no second read of an application begins: with two, a flood of reads makes the imports of other applications take
 * about twice as long.
 *
 * @param mix of the calls of all kinds.
 */
export function lineOfReads(db: TextDatabase, retry: Retry, mix: CallerMix): CallLine {
  const places = (owner: ApplicationId): number => (mix.hasOthers(owner) ? 1 : lineWidth / 2);
  return line(places, (signal, work) =>
    retry(() => {
      if (signal.aborted) throw new CallAbandoned();
      return work(db);
    }, readRetryPolicy),
  );
}

/**
 * Makes the line for calls that write. Work that has begun is completed, even if its call is given up,
 * because a try whose COMMIT was lost may have written.
 *
 * Half of the places are always left for the other applications.
 */
export function lineOfShares(db: TextDatabase, retry: Retry): CallLine {
  const places = (): number => lineWidth / 2;
  return line(places, (_signal, work) => retry(() => work(db), defaultRetryPolicy));
}

type Run = <T>(signal: AbortSignal, work: (db: TextDatabase) => Promise<T>) => Promise<T>;

/** @param places how many places an application may have now. */
function line(places: (owner: ApplicationId) => number, run: Run): CallLine {
  const turns = new Turns<ApplicationId>({
    atOnce: lineWidth,
    ofOneOwner: places,
    limit: lineLimit,
  });
  return {
    run: (owner, signal, work) => turns.run(owner, signal, () => run(signal, work)),
    get waiting() {
      return turns.waiting;
    },
  };
}
