import { quantile } from '../statistics';
import { callKinds, type Became, type CallKind } from './calls';

/** What has to hold under every attack. */
export const limits = {
  /** The largest multiple of its quiet value that a 99th percentile may be. */
  slowdown: 3,
  /** A 99th percentile up to this is good, however small the quiet value was, in milliseconds. */
  latency: 250,
  /** The service's memory must stay below this, in MiB. */
  memory: 512,
} as const;

/** What was seen of a scenario. */
export interface Seen {
  /** What became of the victim's calls; undefined if they did not end. */
  readonly victim: Readonly<Record<CallKind, Became>> | undefined;
  /** How many calls were answered as they should be, but left no trace in the database. */
  readonly vanished: Readonly<Record<CallKind, number>>;
  /** The most memory of the service, in MiB. */
  readonly peakMemory: number;
  /** Each answer of `/readyz` that was not 200. */
  readonly unready: readonly string[];
  /** Whatever else went wrong. */
  readonly faults: readonly string[];
}

/** The latencies of one kind of calls, in milliseconds. */
export interface Latency {
  readonly calls: number;
  readonly p50: number;
  readonly p99: number;
  readonly most: number;
}

export function latencyOf({ latencies }: Became): Latency {
  return {
    calls: latencies.length,
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
    most: quantile(latencies, 1),
  };
}

/**
 * The reasons why a scenario does not hold, in words; none if it holds.
 *
 * @param quiet the victim's latencies while nobody else called.
 */
export function shortcomings(
  { victim, vanished, peakMemory, unready, faults }: Seen,
  quiet: Readonly<Record<CallKind, Latency>>,
): string[] {
  const found = [...faults];
  for (const kind of victim ? callKinds : []) {
    const became = victim?.[kind];
    if (!became) continue;
    const { p99 } = latencyOf(became);
    const allowed = Math.max(limits.slowdown * quiet[kind].p99, limits.latency);
    // Not "p99 > allowed": without any call, the percentile is NaN, and the scenario has shown nothing.
    if (!(p99 <= allowed)) {
      found.push(`${kind}: p99 of ${p99.toFixed(0)} ms, ${allowed.toFixed(0)} ms allowed`);
    }
    for (const [reason, count] of countsOf(became.failures)) {
      found.push(`${kind}: ${count} of ${became.latencies.length} failed with ${reason}`);
    }
    if (vanished[kind] > 0) found.push(`${kind}: ${vanished[kind]} answered, and not on record`);
  }
  if (!(peakMemory < limits.memory)) found.push(`memory of ${peakMemory.toFixed(0)} MiB`);
  for (const [answer, count] of countsOf(unready)) found.push(`/readyz: ${count} × ${answer}`);
  return found;
}

function countsOf(values: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}
