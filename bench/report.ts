import Table from 'cli-table3';
import { rate, type Measurement } from './bench';
import type { CallCost } from './calls';
import type { Distance } from './distance';
import type { DatabaseSize, HotTail, Memory, RowScaling } from './scaling';
import type { Environment } from './environment';
import type { Ratio } from './throughput';
import type { Tuning, Verification } from './tuning';

/** Everything that a run of the benchmark has found; what only the full one measures, may be missing. */
export interface Results {
  readonly environment: Environment;
  readonly ratios: Readonly<Record<string, Ratio>>;
  readonly measurements: Readonly<Record<string, Measurement>>;
  /** The service as it is by default, and with metrics and logs off. */
  readonly watching: Readonly<Record<string, Measurement>>;
  readonly openLoop: Measurement;
  readonly distances: readonly Distance[];
  readonly full?: {
    readonly business: Readonly<Record<string, Measurement>>;
    readonly rows: readonly RowScaling[];
    readonly databaseSizes: readonly DatabaseSize[];
    readonly calls: readonly CallCost[];
    readonly hotTail: HotTail;
    readonly memory: readonly Memory[];
    readonly tuning: readonly Tuning[];
    readonly verification: readonly Verification[];
  };
}

/** The one line that programs read. */
export function machineReadable({ ratios }: Results): string {
  const figures = Object.entries(ratios).map(
    ([name, { median }]) => `${name}=${median.toFixed(2)}`,
  );
  return `bench ${figures.join(' ')}`;
}

/** The results for people. */
export function describeResults({
  environment,
  measurements,
  ratios,
  watching,
  openLoop,
  distances,
  full,
}: Results): string {
  const loop = { 'service, open loop at 70 %': openLoop };
  return [
    `${environment.machine}; Node.js ${environment.node}; MySQL with`,
    ...Object.entries(environment.mysql).map(([name, value]) => `  ${name} = ${value}`),
    '',
    `A user session of ${openLoop.rowsPerImport} rows:`,
    measurementTable({ ...measurements, ...watching, ...loop }),
    ...distances.flatMap((distance) => [
      `With ${distance.milliseconds} ms more for each round trip to MySQL, which takes ${distance.roundTrip.toFixed(1)} ms then:`,
      measurementTable(distance.measurements),
    ]),
    'Ratios, round by round:',
    table(
      ['', 'median', 'least', 'most'],
      Object.entries(ratios).map(([name, { median, least, most }]) => [
        name,
        ...[median, least, most].map((value) => value.toFixed(2)),
      ]),
    ),
    ...(full ? describeFull(full) : []),
  ].join('\n');
}

function describeFull(full: NonNullable<Results['full']>): string[] {
  const { rows, databaseSizes, calls, hotTail, memory, tuning, verification } = full;
  return [
    'A business session of some 300 rows:',
    measurementTable(full.business),
    'One caller, sessions of ever more rows:',
    table(
      ['rows', 'ms', 'ms, procedure', 'statements'],
      rows.map((entry) => [
        entry.rows,
        entry.milliseconds.toFixed(1),
        entry.millisecondsOfProcedure.toFixed(1),
        entry.statements.toFixed(1),
      ]),
    ),
    'Databases of two sizes:',
    table(
      ['sessions stored', 'imports/s, 64 callers', 'ms, 1 caller'],
      databaseSizes.map((entry) => [
        entry.sessions,
        entry.importsPerSecond.toFixed(0),
        entry.soloMilliseconds.toFixed(1),
      ]),
    ),
    'Other calls, on databases of two sizes, with eight callers:',
    callTable(calls),
    'While somebody writes sessions, imports of old ones and of those just written:',
    table(
      ['imports/s, old', 'imports/s, just written'],
      [[hotTail.coldPerSecond.toFixed(0), hotTail.hotPerSecond.toFixed(0)]],
    ),
    'Memory of the service:',
    table(
      ['imports', 'MiB'],
      memory.map((entry) => [entry.imports, entry.megabytes.toFixed(0)]),
    ),
    'Settings, with 256 callers:',
    table(
      ['workers', 'group size', 'imports/s', 'p99 ms'],
      tuning.map((entry) => [
        entry.workers,
        entry.groupSize,
        entry.importsPerSecond.toFixed(0),
        entry.p99.toFixed(0),
      ]),
    ),
    'Verifying a share token, in microseconds of processor time:',
    table(
      verification.map(({ algorithm }) => algorithm),
      [verification.map(({ microseconds }) => microseconds.toFixed(0))],
    ),
  ];
}

/** A row for each method and size of the database. */
export function callTable(calls: readonly CallCost[]): string {
  return table(
    ['', 'stored', 'CPU ms', 'p50 ms'],
    calls.map(({ method, stored, cost, milliseconds }) => [
      method,
      stored,
      cost.toFixed(2),
      milliseconds.toFixed(1),
    ]),
  );
}

function measurementTable(measurements: Readonly<Record<string, Measurement>>): string {
  return table(
    [
      ...['', 'imports/s', 'rows/s', 'p50 ms', 'p90', 'p99', 'p99.9'],
      ...['CPU ms: load', 'service', 'MySQL'],
    ],
    Object.entries(measurements).map(([name, measurement]) => [
      name,
      rate(measurement).toFixed(0),
      (rate(measurement) * measurement.rowsPerImport).toFixed(0),
      // One call of the bulk copy is all imports.
      ...Object.values(measurement.latency).map((value) =>
        measurement.contestant === 'bulk' ? '' : value.toFixed(1),
      ),
      ...Object.values(measurement.cpu).map((seconds) => (seconds * 1000).toFixed(2)),
    ]),
  );
}

function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const drawn = new Table({
    head: [...head],
    colAligns: head.map((name) => (name === '' ? 'left' : 'right')),
    style: { head: [], border: [], compact: true },
  });
  drawn.push(...rows.map((row) => [...row]));
  return `${drawn.toString()}\n`;
}
