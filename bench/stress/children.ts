import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Attack, Tally } from './attacks';
import type { AttackReport, Order } from './attacker';

const execArgv = ['-r', 'sucrase/register'];

/**
 * The niceness of attackers (nice(1)): it gives them a tenth of the weight of the others. With less weight,
 * they could not even begin on a busy machine.
 */
const niceness = '10';

/** How long an attacker may take to have all its connections, in milliseconds. */
const beginning = 20_000;

/** How long a process may take to say what it came to, in milliseconds. */
const lastWords = 5_000;

/** Starts the process of the victim. */
export function startVictim(): ChildProcess {
  return fork(path.join(__dirname, 'victim.ts'), { execArgv, serialization: 'advanced' });
}

/** A process that attacks. */
export interface RunningAttack {
  readonly pid: number;
  /** Resolves when all its connections and first calls are open, or when that has taken too long. */
  readonly begun: Promise<void>;
  /** Stops it, and returns what it came to; nothing if it does not report in time. */
  stop(): Promise<Tally>;
  /** Kills it. */
  kill(): void;
}

/**
 * Starts a process that attacks, with a low priority: it only takes the processor time that the service,
 * MySQL and the victim leave, since a real attacker has machines of its own.
 */
export function startAttack(address: string, attack: Attack): RunningAttack {
  const child = fork(path.join(__dirname, 'attacker.ts'), {
    execPath: 'nice',
    execArgv: ['-n', niceness, process.execPath, ...execArgv],
    serialization: 'advanced',
    // In a session of its own. Linux compares niceness only within a session, and then compares sessions
    // by the niceness of their groups (sched(7), "The autogroup feature").
    detached: true,
  });
  const pid = child.pid ?? 0;
  yieldToOtherSessions(pid);
  const order: Order = { address, attack };
  child.send(order);
  return {
    pid,
    begun: reported(child, beginning).then(() => undefined),
    async stop() {
      const told = reported(child, lastWords);
      const stop: Order = 'stop';
      if (child.connected) child.send(stop);
      const report = await told;
      child.kill('SIGKILL');
      return report?.type === 'ended' ? report.tally : {};
    },
    kill() {
      child.kill('SIGKILL');
    },
  };
}

/** The next report of a process; nothing if none comes in time. */
async function reported(child: ChildProcess, within: number): Promise<AttackReport | undefined> {
  const signal = AbortSignal.timeout(within);
  const told = once(child, 'message', { signal }) as Promise<[AttackReport]>;
  const [report] = await told.catch((): [undefined] => [undefined]);
  return report;
}

function yieldToOtherSessions(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/autogroup`, niceness);
  } catch {
    // This kernel has no such groups: niceness counts for all processes.
  }
}
