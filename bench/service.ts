import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { atExit, removeFolder } from '../scripts/mysql/cleanup';
import { boundToThisProcess } from '../scripts/mysql/processes';
import type { World } from './world';

const program = path.join(__dirname, '..', 'dist', 'main.js');

/** The service in a process of its own, as it is deployed. */
export interface RunningService {
  readonly pid: number;
  readonly address: string;
  stop(): Promise<void>;
}

/**
 * Starts the service with its defaults, and waits until it serves.
 *
 * @param environment what differs from the defaults.
 */
export async function startService(
  world: World,
  environment: Readonly<Record<string, string>> = {},
): Promise<RunningService> {
  const folder = mkdtempSync(path.join(tmpdir(), 'session-import-bench-'));
  const forget = atExit(() => {
    removeFolder(folder);
  });
  const logFile = path.join(folder, 'log');
  const out = openSync(logFile, 'w');
  const [file, ...args] = await boundToThisProcess([process.execPath, program, 'serve']);
  const child = spawn(file, args, {
    env: {
      PATH: process.env['PATH'],
      DATABASE_URL: world.databaseUrl,
      GRPC_ADDRESS: '127.0.0.1:0',
      METRICS_ADDRESS: '127.0.0.1:0',
      SHARE_TOKEN_JWKS: world.jwks,
      SESSION_BASE_URL: 'https://verify.example.com/session',
      ...environment,
    },
    // To a file, as a container's log goes: nobody spends time on reading it.
    stdio: ['ignore', out, 'inherit'],
  });
  closeSync(out);
  return {
    pid: child.pid ?? 0,
    address: `127.0.0.1:${await portOf(child, logFile)}`,
    async stop() {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
      removeFolder(folder);
      forget();
    },
  };
}

async function portOf(child: ChildProcess, logFile: string): Promise<number> {
  for (;;) {
    const lines = (await readFile(logFile, 'utf8')).split('\n').filter((line) => line !== '');
    const serving = lines
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .find(({ msg }) => msg === 'serving');
    if (serving) return Number(serving['port']);
    if (child.exitCode !== null) throw new Error('the service could not start');
    await sleep(20);
  }
}
