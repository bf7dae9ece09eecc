import type { ServerHttp2Session } from 'node:http2';
import { constants, PerformanceObserver, type PerformanceEntry } from 'node:perf_hooks';

/** Whether this Node.js has the faults of Node.js 20. They were not seen on 22.23 and 24.22. */
export const isNode20 = Number(process.versions.node.split('.')[0]) < 22;

/**
 * The most native parts that are kept between two full garbage collections; in all, twice as many can be. Each takes
 * some 20 KB, by estimate, of which Node.js does not tell its garbage collector.
 */
const most = 1_000;

/** Native parts of sessions that have ended: before the last full garbage collection, and since then. */
const kept = { before: new Array<unknown>(), since: new Array<unknown>() };

function isFull(entry: PerformanceEntry): boolean {
  const { detail } = entry as { readonly detail?: { readonly kind?: number } };
  return detail?.kind === constants.NODE_PERFORMANCE_GC_MAJOR;
}

if (isNode20) {
  new PerformanceObserver((list) => {
    if (!list.getEntries().some(isFull)) return;
    kept.before = kept.since;
    kept.since = [];
  }).observe({ entryTypes: ['gc'] });
}

/**
 * Keeps the native part of an ended session until there have been two full garbage collections, or too many are kept.
 * Node.js 20 aborts if it frees a session before one of its streams. That can happen to a stream with incomplete or
 * wrong headers, for which there was no `stream` event. Two full collections free all streams that nobody uses.
 */
export function outliveStreams(session: ServerHttp2Session): void {
  if (!isNode20) return;
  const symbol = Object.getOwnPropertySymbols(session).find(
    ({ description }) => description === 'kHandle',
  );
  const native: unknown = symbol && Reflect.get(session, symbol);
  session.once('close', () => {
    kept.since.push(native);
    if (kept.since.length > most) kept.since.shift();
  });
}
