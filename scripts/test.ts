/**
 * Checks everything: lint and the tests side by side, as neither waits for what the other works on.
 * The last line of its output tells how many tests have passed and failed.
 */
import { spawn, type ChildProcess, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { boundToThisProcess, type Command } from './mysql/processes';

const root = path.join(__dirname, '..');

/**
 * Processes that run test files, each with a MySQL of its own: with one more than there are processors, the tests take
 * longer, and twice the processor time.
 */
const jobs = Math.min(4, Math.max(2, availableParallelism()));

/** The last line of the tests' own report. */
const summaryLine = /^\d+ passed, \d+ failed/;

/**
 * With room for more of what is soon garbage: copying what is still in use, to make room, takes a
 * twentieth of the tests' time otherwise. Mocha gives its processes the options that it has got.
 */
const node: Command = ['node', '--max-semi-space-size=64'];

const mocha = path.join(root, 'node_modules', 'mocha', 'bin', 'mocha.js');

/** Those of faults take as long as all others together: `make test-faults` runs them. */
const tests: Command = [
  ...node,
  ...[mocha, '--parallel', '--jobs', String(jobs)],
  ...['--ignore', 'test/faults/**'],
];

const lint: Command = ['make', '--silent', 'lint'];

/** Runs lint, and prints what it has found when it has come to its end. */
async function passesLint(): Promise<boolean> {
  const child = await start(lint);
  const [code, ...found] = await Promise.all([
    ended(child),
    text(child.stdout),
    text(child.stderr),
  ]);
  if (code !== 0) process.stdout.write(found.join(''));
  return code === 0;
}

/** Runs the tests, and prints all of their report but the last line. */
async function runTests(): Promise<{ readonly pass: boolean; readonly summary: string }> {
  const child = await start(tests);
  child.stderr.pipe(process.stderr);
  let summary = '';
  createInterface(child.stdout).on('line', (line) => {
    if (summaryLine.test(line)) summary = line;
    else console.log(line);
  });
  return { pass: (await ended(child)) === 0, summary };
}

async function start(command: Command): Promise<ChildProcessByStdio<null, Readable, Readable>> {
  const [program, ...args] = await boundToThisProcess(command, 'TERM');
  return spawn(program, args, {
    cwd: root,
    // Mocha colours what it prints if somebody looks at it, and can not tell by itself.
    env: { ...process.env, ...(process.stdout.isTTY ? { FORCE_COLOR: '1' } : {}) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Waits for the end of a process and of what it prints, and returns its exit code. */
async function ended(child: ChildProcess): Promise<number | null> {
  const [code] = (await once(child, 'close')) as [number | null];
  return code;
}

async function main(): Promise<void> {
  const [clean, { pass, summary }] = await Promise.all([passesLint(), runTests()]);
  if (summary) console.log(summary);
  process.exitCode = clean && pass ? 0 : 1;
}

void main();
