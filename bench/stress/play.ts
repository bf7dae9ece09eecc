import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ChildProcess } from 'node:child_process';
import type { Database } from '../../src/db/database';
import { read, select } from '../../src/db/query';
import { newId, type SessionId, type ShareTokenId } from '../../src/model/ids';
import { flushDisks, measurePace, type Pace } from '../pace';
import { cpuSeconds, forgetPeakMemory, peakMemory } from '../processes';
import { startService, type RunningService } from '../service';
import type { Importing } from '../subjects';
import { Supply } from '../world';
import type { Tally } from './attacks';
import { startAttack, startVictim, type RunningAttack } from './children';
import { vanishedCalls } from './evidence';
import { createOwn, createTenant, importRequest, recordShareTokens, type Stage } from './stage';
import type { Plan } from './scenarios';
import type { Seen } from './verdict';
import {
  eachKind,
  type CallKind,
  type PlannedCall,
  type VictimJob,
  type VictimReport,
} from './calls';

/** How many calls of each kind the victim makes in a second. */
export const perSecond: Readonly<Record<CallKind, number>> = {
  imports: 20,
  linked: 2,
  reads: 8,
  revocations: 2,
  refusals: 2,
};

const warmUpImports = 200;

/** How long an attack goes on before its effects are measured, in milliseconds. */
const headStart = 2_000;

/** How long the victim waits for an answer, in seconds. */
const patience = 30;

/** How long after its measured time a scenario may take to end, in seconds: all calls have ended by then. */
const overtime = patience + 20;

/** How often memory is looked at, in milliseconds. */
const memoryInterval = 100;

/** Like the probe in `deploy/`, but more often, in milliseconds. */
const probe = { interval: 1_000, timeout: 3_000 } as const;

/** How long MySQL may take to roll back what a killed service has left, in seconds. */
const undoing = 120;

/** The sources that victims import. Scenarios share them, since each has a victim of its own. */
export interface VictimSources {
  readonly users: readonly SessionId[];
  readonly companies: readonly SessionId[];
}

/** How many sources a victim imports of each kind. */
export function sourcesNeeded(seconds: number): {
  readonly users: number;
  readonly companies: number;
} {
  return {
    users: warmUpImports + perSecond.imports * seconds,
    companies: perSecond.linked * seconds,
  };
}

/** What was seen of a scenario, and the processor time that it took. */
export interface Played extends Seen {
  /** The processor time of each process, in seconds per second. */
  readonly cpu: Readonly<Record<'service' | 'mysql' | 'attackers' | 'victim', number>>;
  /** What came of the calls of each attacker. */
  readonly attacks: readonly Tally[];
  /** How fast the machine was meanwhile. */
  readonly pace: Pace;
}

/**
 * In a container of 512 MiB, as deploy/ has it, Node.js sizes its heap to half of that. Without a limit, it lets
 * garbage lie for as long as the machine has memory.
 */
const asDeployed = { NODE_OPTIONS: '--max-old-space-size=256' };

/**
 * Plays a scenario, with its own service and its own victim, on the database that all scenarios share.
 *
 * @param program the main file of the build to run.
 */
export async function play(
  stage: Stage,
  plan: Plan,
  sources: VictimSources,
  { program, mysqlPid }: { readonly program: string; readonly mysqlPid: number },
): Promise<Played> {
  const victim = await createTenant(stage.db);
  const job = await planVictim(stage, victim, sources);
  await flushDisks();
  const service = await startService(stage.world, asDeployed, program);
  const child = startVictim();
  const seconds = stage.seconds + overtime;
  let attacks: readonly RunningAttack[] = [];
  let release: (() => Promise<void>) | undefined;
  try {
    const told = await withVictim(child, { ...job, address: service.address });
    release = await plan.hold?.();
    attacks = plan.attacks.map((attack) => startAttack(service.address, attack));
    forgetPeakMemory(service.pid);
    const watch = watchService(service);
    await Promise.all(attacks.map(({ begun }) => begun));
    await sleep(plan.attacks.length > 0 ? headStart : 0);

    const used = (): Played['cpu'] => ({
      service: cpuOf(service.pid),
      mysql: cpuOf(mysqlPid),
      attackers: attacks.reduce((sum, { pid }) => sum + cpuOf(pid), 0),
      victim: cpuOf(child.pid ?? 0),
    });
    const [before, startedAt] = [used(), performance.now()];
    const { result: became, pace } = await measurePace(() => told.begin(seconds));
    const [after, took] = [used(), (performance.now() - startedAt) / 1_000];
    const share = (name: keyof Played['cpu']): number => (after[name] - before[name]) / took;
    const cpu = {
      service: share('service'),
      mysql: share('mysql'),
      attackers: share('attackers'),
      victim: share('victim'),
    };

    const { peak, unready } = watch.end();
    const faults = [
      ...(became ? [] : [`no end after ${seconds} s`]),
      ...(service.running() ? [] : ['the service has ended']),
    ];
    const tallies = await Promise.all(attacks.map((attack) => attack.stop()));
    const vanished = became
      ? await vanishedCalls(stage.db, victim.applicationId, became)
      : eachKind(() => 0);
    return {
      victim: became,
      vanished,
      peakMemory: peak,
      unready,
      faults,
      cpu,
      attacks: tallies,
      pace,
    };
  } finally {
    child.kill('SIGKILL');
    for (const attack of attacks) attack.kill();
    await service.kill();
    await release?.();
    await endLeftovers(stage.db, stage.world.databaseUrl);
  }
}

/** The result of a scenario that could not be played. */
export function unplayed(error: unknown): Played {
  const why = error instanceof Error ? error.message : 'it is not known why';
  const unknown = Number.NaN;
  return {
    victim: undefined,
    vanished: eachKind(() => 0),
    peakMemory: 0,
    unready: [],
    faults: [`it could not be played: ${why}`],
    cpu: { service: unknown, mysql: unknown, attackers: unknown, victim: unknown },
    attacks: [],
    pace: { work: unknown, slowestWrite: unknown },
  };
}

/** The victim's job, without the service's address. */
async function planVictim(
  stage: Stage,
  victim: Importing,
  sources: VictimSources,
): Promise<Omit<VictimJob, 'address'>> {
  const { db, world, seconds } = stage;
  const own = await createOwn(stage, victim, 10);
  const users = new Supply('user', sources.users, [victim], 0);
  const companies = new Supply('business', sources.companies, [victim], 0);
  const imports = async (supply: Supply, count: number, kind: 'imports' | 'linked') => {
    const linked = kind === 'linked';
    return Promise.all(
      supply.take(count).map(async (entry): Promise<PlannedCall> => {
        return { kind, request: await importRequest(world, entry, { linked }) };
      }),
    );
  };
  const count = (kind: CallKind): number => perSecond[kind] * seconds;
  const tokens: ShareTokenId[] = [];
  for (const session of own) {
    const each = Math.ceil(count('revocations') / own.length);
    tokens.push(...(await recordShareTokens(db, victim, session, each)));
  }
  const [refused] = new Supply('user', [world.templates.user], [victim], 0).take(1);
  return {
    apiKey: victim.apiKey,
    warmUp: [
      ...(await imports(users, warmUpImports, 'imports')),
      ...Array.from({ length: warmUpImports }, (_, index) => readOf(own, index)),
    ],
    calls: {
      imports: await imports(users, count('imports'), 'imports'),
      linked: await imports(companies, count('linked'), 'linked'),
      reads: Array.from({ length: count('reads') }, (_, index) => readOf(own, index)),
      revocations: tokens
        .slice(0, count('revocations'))
        .map((shareTokenId) => ({ kind: 'revocations', shareTokenId })),
      refusals: await Promise.all(
        Array.from({ length: refused ? count('refusals') : 0 }, async (): Promise<PlannedCall> => {
          const id = newId<ShareTokenId>();
          if (!refused) throw new Error('there is nothing to be refused');
          const request = await importRequest(world, refused, { expired: true, id });
          return { kind: 'refusals', request, shareTokenId: id };
        }),
      ),
    },
    perSecond,
    patience,
  };
}

/** The reads of all methods, in turn. */
function readOf(own: readonly SessionId[], index: number): PlannedCall {
  const methods = ['GetSession', 'ListSessions', 'ListSessionRows', 'ListImports'] as const;
  const method = methods[index % methods.length] ?? 'GetSession';
  const id = own[index % own.length] ?? '';
  return method === 'GetSession' || method === 'ListSessionRows'
    ? { kind: 'reads', method, id }
    : { kind: 'reads', method };
}

/** Prepares the victim. `begin` lets it call, and returns nothing if it does not end in time. */
async function withVictim(
  child: ChildProcess,
  job: VictimJob,
): Promise<{ begin(seconds: number): Promise<Seen['victim']> }> {
  const answer = async (
    message: VictimJob | 'begin',
    seconds: number,
  ): Promise<VictimReport | undefined> => {
    const signal = AbortSignal.timeout(seconds * 1_000);
    const told = once(child, 'message', { signal }) as Promise<[VictimReport]>;
    child.send(message);
    const [report] = await told.catch((): [undefined] => [undefined]);
    if (report?.type === 'failed') throw new Error(`the victim has failed: ${report.error}`);
    return report;
  };
  if (!(await answer(job, overtime))) throw new Error('the victim does not get ready');
  return {
    async begin(seconds) {
      const report = await answer('begin', seconds);
      return report?.type === 'done' ? report.became : undefined;
    },
  };
}

/** Looks at the service's memory, and asks it whether it is ready. */
function watchService(service: RunningService): {
  end(): { readonly peak: number; readonly unready: readonly string[] };
} {
  const unready: string[] = [];
  let peak = 0;
  // VmHWM is the true peak. It is read often, so that a value is there if the process is gone at the end.
  const look = (): void => {
    if (service.running()) peak = Math.max(peak, peakMemory(service.pid));
  };
  const ready = service.metrics.replace(/metrics$/, 'readyz');
  const memory = setInterval(look, memoryInterval);
  const probes = setInterval(() => {
    fetch(ready, { signal: AbortSignal.timeout(probe.timeout), headers: { connection: 'close' } })
      .then(({ status }) => {
        if (status !== 200) unready.push(String(status));
      })
      .catch(() => unready.push('no answer'));
  }, probe.interval);
  return {
    end() {
      clearInterval(memory);
      clearInterval(probes);
      look();
      return { peak, unready: [...unready] };
    },
  };
}

/** The processor time of a process; NaN if it has ended. */
function cpuOf(pid: number): number {
  try {
    return cpuSeconds(pid);
  } catch {
    return Number.NaN;
  }
}

/** Kills what MySQL still does for a service that is gone, and waits until it is rolled back. */
async function endLeftovers(db: Database, serviceUrl: string): Promise<void> {
  const { username } = new URL(serviceUrl);
  const connections = (): Promise<{ id: number }[]> =>
    read(
      db,
      select<{ id: number }>('SELECT id AS id FROM performance_schema.processlist WHERE user = ?', [
        username,
      ]),
    );
  const deadline = performance.now() + undoing * 1_000;
  for (;;) {
    const left = await connections();
    if (left.length === 0) return;
    if (performance.now() > deadline) throw new Error('MySQL does not come to rest');
    for (const { id } of left) await db.raw('KILL ?', [id]).catch(() => undefined);
    await sleep(100);
  }
}
