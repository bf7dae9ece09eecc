import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../scripts/free-port';
import { atExit, removeFolder } from '../scripts/mysql/cleanup';
import { boundToThisProcess } from '../scripts/mysql/processes';
import type { World } from './subjects';

/** The program that `make build` makes. */
export const builtProgram = path.join(__dirname, '..', 'dist', 'main.js');

/** The service in a process of its own, as it is deployed. */
export interface RunningService {
  readonly pid: number;
  readonly address: string;
  /** Where Prometheus would read its metrics. */
  readonly metrics: string;
  /** Whether its process still runs. */
  running(): boolean;
  stop(): Promise<void>;
  /** Kills it, whatever it is doing. */
  kill(): Promise<void>;
}

/**
 * Starts the service with its defaults, and waits until it serves.
 *
 * @param environment what differs from the defaults.
 * @param program the main file of the build to run.
 * @param node the Node.js that runs it.
 */
export async function startService(
  world: World,
  environment: Readonly<Record<string, string>> = {},
  program = builtProgram,
  node = process.execPath,
): Promise<RunningService> {
  const folder = mkdtempSync(path.join(tmpdir(), 'session-import-bench-'));
  const forget = atExit(() => {
    removeFolder(folder);
  });
  const port = await freePort();
  const metricsPort = await freePort();
  const out = openSync(path.join(folder, 'log'), 'w');
  const [file, ...args] = await boundToThisProcess([node, program, 'serve']);
  const child = spawn(file, args, {
    env: {
      PATH: process.env['PATH'],
      DATABASE_URL: world.databaseUrl,
      GRPC_ADDRESS: `127.0.0.1:${port}`,
      METRICS_ADDRESS: `127.0.0.1:${metricsPort}`,
      SHARE_TOKEN_JWKS: world.jwks,
      SESSION_BASE_URL: 'https://verify.example.com/session',
      ...environment,
    },
    // To a file, as a container's log goes: nobody spends time on reading it.
    stdio: ['ignore', out, 'inherit'],
  });
  closeSync(out);
  await listening(child, port);
  const running = (): boolean => child.exitCode === null && child.signalCode === null;
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (running()) {
      const ended = once(child, 'exit');
      child.kill(signal);
      await ended;
    }
    removeFolder(folder);
    forget();
  };
  return {
    pid: child.pid ?? 0,
    address: `127.0.0.1:${port}`,
    metrics: `http://127.0.0.1:${metricsPort}/metrics`,
    running,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
  };
}

/** Waits until somebody listens on a port. */
async function listening(child: ChildProcess, port: number): Promise<void> {
  while (child.exitCode === null) {
    const socket = connect(port, '127.0.0.1');
    const answers = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (answers) return;
    await sleep(20);
  }
  throw new Error('the service could not start');
}
