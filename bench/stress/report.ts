import Table from 'cli-table3';
import type { Environment } from '../environment';
import type { Played } from './play';
import { latencyOf, type Latency } from './verdict';
import { callKinds, eachKind, type CallKind } from './calls';

/** What is kept of a scenario. */
export interface Result {
  readonly name: string;
  readonly title: string;
  /** Whether nobody attacked: the verdict leaves such a scenario out. */
  readonly control?: true;
  /** Undefined if the victim's calls did not end. */
  readonly latency?: Readonly<Record<CallKind, Latency>>;
  /** Each 99th percentile as a multiple of its quiet value. */
  readonly slowdown?: Readonly<Record<CallKind, number>>;
  /** Calls that failed, or were answered and are not on record. */
  readonly lost: number;
  /** What does not hold. */
  readonly shortcomings: readonly string[];
  /** In MiB. */
  readonly peakMemory: number;
  readonly unready: number;
  readonly cpu: Played['cpu'];
  readonly attacks: Played['attacks'];
  readonly pace: Played['pace'];
}

/** Everything that a run has found. */
export interface StressResults {
  readonly environment: Environment;
  /** How long each scenario was measured, in seconds. */
  readonly seconds: number;
  readonly perSecond: Readonly<Record<CallKind, number>>;
  readonly scenarios: readonly Result[];
}

/** Puts together what is kept of a scenario. */
export function resultOf(
  { name, title, control }: Pick<Result, 'name' | 'title' | 'control'>,
  played: Played,
  quiet: Readonly<Record<CallKind, Latency>>,
  found: readonly string[],
): Result {
  const { victim, vanished, peakMemory, unready, cpu, attacks, pace } = played;
  const latency = victim && eachKind((kind) => latencyOf(victim[kind]));
  const failed = victim ? callKinds.map((kind) => victim[kind].failures.length) : [];
  return {
    name,
    title,
    ...(control ? { control } : {}),
    ...(latency
      ? { latency, slowdown: eachKind((kind) => latency[kind].p99 / quiet[kind].p99) }
      : {}),
    lost: [...failed, ...Object.values(vanished)].reduce((sum, count) => sum + count, 0),
    shortcomings: found,
    peakMemory,
    unready: unready.length,
    cpu,
    attacks,
    pace,
  };
}

/** One scenario in one line, to show while the others run. */
export function describeResult({ name, latency, lost, shortcomings }: Result): string {
  const imports = latency ? `imports p99 ${latency.imports.p99.toFixed(0)} ms` : 'no end';
  const verdict = shortcomings.length === 0 ? 'holds' : 'FAILS';
  return `${verdict}  ${name}: ${imports}, ${lost} lost`;
}

/** The results for people. */
export function describeResults({ environment, seconds, scenarios }: StressResults): string {
  const table = new Table({
    head: [
      ...['', ...callKinds.map((kind) => `${kind} p50/p99 ms`), 'slowdown', 'lost', 'MiB'],
      ...['/readyz', 'CPU service', 'MySQL', 'attackers', 'victim'],
      ...['work ms', 'slowest write ms', 'holds'],
    ],
    colAligns: ['left'],
    style: { head: [], border: [], compact: true },
  });
  for (const result of scenarios) {
    const { name, latency, slowdown, lost, peakMemory, unready, cpu, pace, shortcomings } = result;
    table.push([
      name,
      ...callKinds.map((kind) => (latency ? bothOf(latency[kind]) : '–')),
      slowdown ? Math.max(...Object.values(slowdown)).toFixed(1) : '–',
      lost,
      peakMemory.toFixed(0),
      unready,
      ...[cpu.service, cpu.mysql, cpu.attackers, cpu.victim].map((value) => value.toFixed(2)),
      pace.work.toFixed(1),
      pace.slowestWrite.toFixed(0),
      shortcomings.length === 0 ? 'yes' : 'NO',
    ]);
  }
  return [
    `${environment.machine}; Node.js ${environment.node}; ${seconds} s for each scenario`,
    table.toString(),
    ...scenarios.flatMap(({ name, shortcomings }) =>
      shortcomings.map((text) => `${name}: ${text}`),
    ),
  ].join('\n');
}

function bothOf({ p50, p99 }: Latency): string {
  return `${p50.toFixed(0)}/${p99.toFixed(0)}`;
}
