import { rmSync } from 'node:fs';
import { constants } from 'node:os';

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

const removalAttempts = 20;
const removalIntervalMs = 20;

const cleanups = new Set<() => void>();

/**
 * Has `cleanup` called when this process ends: normally, by an uncaught error or by a signal.
 * The latest one registered is called first.
 *
 * @param cleanup Has to be synchronous: nothing asynchronous runs while a process exits.
 * @returns A function which takes the registration back.
 */
export function atExit(cleanup: () => void): () => void {
  if (cleanups.size === 0) {
    process.on('exit', cleanUp);
    for (const signal of signals) process.on(signal, exitUnlessHandled);
  }
  cleanups.add(cleanup);
  return () => {
    cleanups.delete(cleanup);
    if (cleanups.size === 0) {
      process.off('exit', cleanUp);
      for (const signal of signals) process.off(signal, exitUnlessHandled);
    }
  };
}

/**
 * Removes a folder, also where processes which were killed a moment ago are still finishing their
 * last files in it.
 */
export function removeFolder(folder: string): void {
  for (let attempt = 1; ; attempt++) {
    try {
      rmSync(folder, { recursive: true, force: true });
      return;
    } catch (error) {
      if (attempt === removalAttempts) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, removalIntervalMs);
    }
  }
}

/** The exit code by which a shell tells that a command was ended by `signal`. */
export function exitCodeOf(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal];
}

function cleanUp(): void {
  for (const cleanup of [...cleanups].reverse()) cleanup();
}

/** A program with a handler of its own shuts down in its own time, and may need its database. */
function exitUnlessHandled(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) === 1) process.exit(exitCodeOf(signal));
}
