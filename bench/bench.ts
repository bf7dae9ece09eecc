import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import type { Load, Run } from './driver';
import { cpuSeconds } from './processes';
import type { RunningService } from './service';
import { median, quantile } from './statistics';
import type { Job, Report } from './worker';
import type { Import, World } from './subjects';

/** What was measured of one contestant under one load, over all rounds. */
export interface Measurement {
  readonly contestant: Job['contestant'];
  readonly load: Load;
  /** In every round, in the order of the rounds. */
  readonly importsPerSecond: readonly number[];
  /** The median latency of every round, in milliseconds. */
  readonly medians: readonly number[];
  /** Over all rounds, in milliseconds. */
  readonly latency: Readonly<Record<'p50' | 'p90' | 'p99' | 'p999', number>>;
  readonly imports: number;
  readonly seconds: number;
  /** Rows of the session's relations. */
  readonly rowsPerImport: number;
  /** For each round: the processor time of the service and MySQL for one import, in seconds. */
  readonly costs: readonly number[];
  /** Seconds of processor time for each import. */
  readonly cpu: Readonly<Record<'load' | 'service' | 'mysql', number>>;
}

/** The imports a second that a contestant makes: the median of its rounds. */
export function rate(measurement: Measurement): number {
  return median(measurement.importsPerSecond);
}

/** One round of one contestant. */
export interface Round {
  readonly run: Run;
  readonly cpu: Measurement['cpu'];
}

/** Runs contestants on a world, and measures them. */
export class Bench {
  private readonly worker: ChildProcess;
  /** Fails when the worker is gone. */
  private readonly ended: Promise<never>;

  constructor(
    private readonly world: World,
    private readonly mysqlPid: number,
  ) {
    this.worker = fork(path.join(__dirname, 'worker.ts'), {
      execArgv: ['-r', 'sucrase/register'],
      serialization: 'advanced',
    });
    this.ended = once(this.worker, 'exit').then(() => {
      throw new Error('the process that makes the load has ended');
    });
    this.ended.catch(() => undefined);
  }

  /**
   * Carries out imports once.
   *
   * @throws Error if an import fails.
   */
  async round(
    contestant: Job['contestant'],
    imports: readonly Import[],
    load: Load,
    service?: RunningService,
    world = this.world,
  ): Promise<Round> {
    const address = service?.address ?? '';
    await this.tell({ contestant, world, imports, load, address }, 'ready');
    const before = this.used(service);
    const done = await this.tell('begin', 'done');
    const after = this.used(service);
    const each = (name: keyof typeof after): number =>
      (after[name] - before[name]) / imports.length;
    return {
      run: done.run,
      cpu: { load: each('load'), service: each('service'), mysql: each('mysql') },
    };
  }

  close(): void {
    this.worker.kill();
  }

  private async tell<Type extends Report['type']>(
    message: Job | 'begin',
    expected: Type,
  ): Promise<Extract<Report, { type: Type }>> {
    const answer = once(this.worker, 'message') as Promise<[Report]>;
    this.worker.send(message);
    const [report] = await Promise.race([answer, this.ended]);
    if (report.type === 'failed') throw new Error(`a contestant has failed: ${report.error}`);
    if (report.type !== expected) throw new Error('the worker is out of step');
    return report as Extract<Report, { type: Type }>;
  }

  private used(service: RunningService | undefined): Measurement['cpu'] {
    return {
      load: cpuSeconds(this.worker.pid ?? 0),
      service: service ? cpuSeconds(service.pid) : 0,
      mysql: cpuSeconds(this.mysqlPid),
    };
  }
}

/** Puts the rounds of one contestant together. */
export function summarise(
  contestant: Job['contestant'],
  load: Load,
  rounds: readonly Round[],
  rowsPerImport: number,
): Measurement {
  const latencies = rounds.flatMap(({ run }) => [...run.latencies]);
  const total = (value: (round: Round) => number): number =>
    rounds.reduce((sum, round) => sum + value(round), 0);
  const mean = (value: (round: Round) => number): number => total(value) / rounds.length;
  return {
    contestant,
    load,
    importsPerSecond: rounds.map(({ run }) => run.calls / run.seconds),
    medians: rounds.map(({ run }) => median(run.latencies)),
    latency: {
      p50: quantile(latencies, 0.5),
      p90: quantile(latencies, 0.9),
      p99: quantile(latencies, 0.99),
      p999: quantile(latencies, 0.999),
    },
    imports: total(({ run }) => run.calls),
    seconds: total(({ run }) => run.seconds),
    rowsPerImport,
    costs: rounds.map(({ cpu }) => cpu.service + cpu.mysql),
    cpu: {
      load: mean(({ cpu }) => cpu.load),
      service: mean(({ cpu }) => cpu.service),
      mysql: mean(({ cpu }) => cpu.mysql),
    },
  };
}
