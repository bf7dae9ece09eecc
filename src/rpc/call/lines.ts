import type { TextDatabase } from '../../db/database';
import { defaultRetryPolicy, readRetryPolicy, type Retry } from '../../db/retry';
import type { ApplicationId } from '../../model/ids';
import { CallAbandoned } from '../../model/problems';
import type { Activity } from '../../turns/activity';
import { Turns } from '../../turns/turns';
import type { SlowPeers } from './slow-peers';

/** Runs work on the database, and retries it by the policy that fits. */
export type OnDatabase = <T>(work: (db: TextDatabase) => Promise<T>) => Promise<T>;

/** Whose work it is. */
export interface LineCall {
  readonly applicationId: ApplicationId;
  /** Who takes the answer: see `SlowPeers`. */
  readonly peer: string;
  /** Fires when the call is given up. */
  readonly signal: AbortSignal;
}

/**
 * A queue in which calls wait for the database. Each line has its own connections, one for each call that runs
 * at the same time, so no call waits for a connection that another line uses.
 */
export interface CallLine {
  /** Runs work for a call when it is the turn of its application, and its peer is not slow. */
  run<T>(call: LineCall, work: (db: TextDatabase) => Promise<T>): Promise<T>;
  /** How much work waits. */
  readonly waiting: number;
}

/** Calls in `reads` only read, for a short time. Those in `shares` write, and may wait for a lock. */
export type LineName = 'reads' | 'shares';

/** The lines of all calls that are not imports. */
export type CallLines = Readonly<Record<LineName, CallLine>>;

/** How many pieces of work of a line run at the same time. Its pool has as many connections. */
export const lineWidth = 4;

/** How many pieces of work wait in a line, at most. More are refused with OVERLOADED. */
const lineLimit = 1_000;

/** How long a statement of the line `reads` may run, in seconds: a third of a call's usual deadline. */
export const readSeconds = 5;

/** What the lines need to know about who calls. */
export interface WhoCalls {
  readonly slow: SlowPeers;
  readonly applications: Activity<ApplicationId>;
}

/**
 * Makes the line for calls that read. For a call that is given up, nothing begins and nothing is retried.
 *
 * Half of the places are always left for the other applications. While others are active, an application has one:
 * with two, a flood of reads keeps a processor of MySQL busy, and their imports take twice as long.
 */
export function lineOfReads(
  db: TextDatabase,
  retry: Retry,
  { slow, applications }: WhoCalls,
): CallLine {
  const places = (owner: ApplicationId): number =>
    applications.hasOthers(owner) ? 1 : lineWidth / 2;
  return line(slow, places, (signal, work) =>
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
export function lineOfShares(db: TextDatabase, retry: Retry, { slow }: WhoCalls): CallLine {
  const places = (): number => lineWidth / 2;
  return line(slow, places, (_signal, work) => retry(() => work(db), defaultRetryPolicy));
}

type Run = <T>(signal: AbortSignal, work: (db: TextDatabase) => Promise<T>) => Promise<T>;

function line(slow: SlowPeers, places: (owner: ApplicationId) => number, run: Run): CallLine {
  const turns = new Turns<ApplicationId>({
    atOnce: lineWidth,
    ofOneOwner: places,
    limit: lineLimit,
  });
  return {
    async run({ applicationId, peer, signal }, work) {
      for (;;) {
        const done = await turns.run(applicationId, signal, async () =>
          // Many calls of a peer can wait for their turns before it becomes slow.
          slow.has(peer) ? undefined : { result: await run(signal, work) },
        );
        if (done) return done.result;
        await slow.caughtUp(peer, signal);
      }
    },
    get waiting() {
      return turns.waiting;
    },
  };
}
