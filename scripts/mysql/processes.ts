import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { atExit } from './cleanup';

/** A program, and the arguments it is called with. */
export type Command = readonly [program: string, ...args: string[]];

/** What a command wrote. */
export interface Output {
  readonly stdout: string;
  readonly stderr: string;
}

let setprivWorks: Promise<boolean> | undefined;

/**
 * Runs a command to its end. It does not outlive this process.
 *
 * @param options `timeout` is how many milliseconds the command may take.
 * @throws An `Error` with the command's standard error where the command fails.
 */
export async function run(command: Command, options: { timeout?: number } = {}): Promise<Output> {
  const [program, ...args] = await boundToThisProcess(command);
  // In a group of its own, what the command starts in turn can be killed together with it.
  const child = spawn(program, args, {
    ...options,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const forget = atExit(() => {
    killGroup(child);
  });
  try {
    const output = Promise.all([text(child.stdout), text(child.stderr)]);
    const [code] = (await once(child, 'close')) as [number | null];
    const [stdout, stderr] = await output;
    if (code !== 0) throw new Error(`${command.join(' ')} failed: ${stderr.trim()}`);
    return { stdout, stderr };
  } finally {
    forget();
  }
}

function killGroup(leader: ChildProcess): void {
  try {
    if (leader.pid !== undefined) process.kill(-leader.pid, 'SIGKILL');
  } catch {
    // It has just ended by itself.
  }
}

/**
 * The same command, sent a signal by the kernel when this process is gone, so that not even a
 * SIGKILL to this process leaves it behind. Without util-linux's `setpriv` it stays as it is.
 */
export async function boundToThisProcess(
  command: Command,
  signal: 'KILL' | 'TERM' = 'KILL',
): Promise<Command> {
  setprivWorks ??= promisify(execFile)('setpriv', ['--pdeathsig', 'KILL', 'true']).then(
    () => true,
    () => false,
  );
  return (await setprivWorks) ? ['setpriv', '--pdeathsig', signal, ...command] : command;
}
