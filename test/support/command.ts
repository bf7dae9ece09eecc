import { createRequire } from 'node:module';
import path from 'node:path';
import type * as Program from '../../src/cli/program';
import { builtProgram } from './program';

/** What a command has printed, and how it has ended. */
export interface Ended {
  readonly exitCode: number;
  readonly printed: string;
  readonly errors: string;
}

let before: Promise<unknown> = Promise.resolve();

/** The program that was built: commands load some of its files by their built names. */
function loadProgram(): typeof Program {
  const file = path.join(path.dirname(builtProgram()), 'cli', 'program.js');
  return createRequire(__filename)(file) as typeof Program;
}

/**
 * Runs a command in this process, which takes no start: one at a time, since environment and output are
 * the process's own. Only what is given is in its environment.
 */
export function run(
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<Ended> {
  const ended = before.then(() => runNow(args, environment));
  before = ended.catch(() => undefined);
  return ended;
}

async function runNow(
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<Ended> {
  const { env, stdout, stderr } = process;
  const writing = [stdout, stderr].map((stream) => ({ stream, write: stream.write.bind(stream) }));
  const texts = { printed: '', errors: '' };
  const into =
    (name: keyof typeof texts) =>
    (text: string | Uint8Array, ...more: readonly unknown[]) => {
      texts[name] += String(text);
      const written = more.at(-1);
      if (typeof written === 'function') (written as () => void)();
      return true;
    };
  const { runCommand } = loadProgram();
  process.env = { ...environment };
  stdout.write = into('printed');
  stderr.write = into('errors');
  try {
    return { exitCode: await runCommand(args), ...texts };
  } finally {
    process.env = env;
    for (const { stream, write } of writing) stream.write = write;
  }
}
