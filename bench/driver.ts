import { setTimeout as sleep } from 'node:timers/promises';

/** Something to be done once, and measured. */
export type Call = () => Promise<void>;

/** How the calls come. */
export type Load =
  /** Closed loop: so many callers, each of which calls again once it has been answered. */
  | { readonly callers: number }
  /** Open loop: so many calls a second at random moments, whatever becomes of those before. */
  | { readonly perSecond: number };

/** What was measured of a run. */
export interface Run {
  readonly calls: number;
  readonly seconds: number;
  /** Of each call, in milliseconds; in an open loop from the moment it was meant to begin. */
  readonly latencies: readonly number[];
}

/**
 * Makes all the calls.
 *
 * @throws the error of a call that fails: a benchmark of failures would say nothing.
 */
export async function drive(calls: readonly Call[], load: Load): Promise<Run> {
  const latencies: number[] = [];
  const startedAt = performance.now();
  if ('callers' in load) await closedLoop(calls, load.callers, latencies);
  else await openLoop(calls, load.perSecond, latencies);
  return { calls: calls.length, seconds: (performance.now() - startedAt) / 1000, latencies };
}

async function closedLoop(
  calls: readonly Call[],
  callers: number,
  latencies: number[],
): Promise<void> {
  const waiting = calls.values();
  await Promise.all(
    Array.from({ length: callers }, async () => {
      for (const call of waiting) {
        const startedAt = performance.now();
        await call();
        latencies.push(performance.now() - startedAt);
      }
    }),
  );
}

/** Calls arrive as a Poisson process does: independent callers know nothing of each other. */
async function openLoop(
  calls: readonly Call[],
  perSecond: number,
  latencies: number[],
): Promise<void> {
  const running: Promise<unknown>[] = [];
  const failures: unknown[] = [];
  let intended = performance.now();
  for (const call of calls) {
    intended += (-Math.log(1 - Math.random()) / perSecond) * 1000;
    const early = intended - performance.now();
    if (early >= 1) await sleep(early);
    const meantFor = intended;
    running.push(
      call().then(
        () => latencies.push(performance.now() - meantFor),
        (error: unknown) => failures.push(error),
      ),
    );
  }
  await Promise.all(running);
  if (failures.length > 0) throw failures[0];
}
