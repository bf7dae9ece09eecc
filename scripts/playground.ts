import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { atExit, removeFolder } from './mysql/cleanup';
import { boundToThisProcess } from './mysql/processes';

const program = path.join(__dirname, '..', 'dist', 'main.js');
const run = promisify(execFile);

/** One of the two demo applications. */
export interface DemoApplication {
  readonly name: string;
  readonly applicationId: string;
  readonly apiKey: string;
}

/** A session that the one demo application can share with the other. */
export interface DemoSession {
  readonly kind: 'user' | 'business';
  readonly sessionId: string;
  /** The workflow that the importing application files it under. */
  readonly workflowId: string;
}

/** Two applications, and the sessions that the one can share with the other. */
export interface DemoData {
  readonly source: DemoApplication;
  readonly importing: DemoApplication;
  readonly user: DemoSession;
  readonly business: DemoSession;
}

/** A migrated database with demo data, and a signing key. */
export interface Playground extends DemoData {
  /** What `serve` needs in its environment. */
  readonly environment: Readonly<Record<string, string>>;
}

/** Prepares the database of `DATABASE_URL` with the program's own commands, as an operator would. */
export async function preparePlayground(): Promise<Playground> {
  const folder = mkdtempSync(path.join(tmpdir(), 'session-import-'));
  atExit(() => {
    removeFolder(folder);
  });
  const signingKey = path.join(folder, 'signing-key.json');
  const jwks = path.join(folder, 'jwks.json');

  await command('migrate');
  const data = await seed();
  await command('signing-key', 'generate', '--out', signingKey, '--jwks', jwks);
  return {
    ...data,
    environment: {
      SHARE_TOKEN_JWKS: jwks,
      SHARE_TOKEN_SIGNING_KEY: signingKey,
      SESSION_BASE_URL: 'https://verify.example.com/session',
    },
  };
}

/** Adds applications and sessions to the database of `DATABASE_URL`: others each time. */
export async function seed(): Promise<DemoData> {
  const seeded = await command('seed');
  const fact = (name: string): string => seeded[name] ?? '';
  const session = (kind: DemoSession['kind']): DemoSession => ({
    kind,
    sessionId: fact(`${kind}_session_id`),
    workflowId: fact(`${kind}_workflow_id`),
  });
  return {
    source: {
      name: fact('source_application'),
      applicationId: fact('source_application_id'),
      apiKey: fact('source_api_key'),
    },
    importing: {
      name: fact('importing_application'),
      applicationId: fact('importing_application_id'),
      apiKey: fact('api_key'),
    },
    user: session('user'),
    business: session('business'),
  };
}

async function command(...args: string[]): Promise<Record<string, string>> {
  const { stdout } = await run(process.execPath, [program, ...args, '--json']);
  return JSON.parse(stdout) as Record<string, string>;
}

/** A running service, and where it listens. */
export interface RunningService {
  readonly process: ChildProcess;
  readonly address: string;
}

/**
 * Starts the service in a process of its own, and waits until it serves.
 *
 * @param log what becomes of each line that it logs.
 */
export async function startService(
  environment: Readonly<Record<string, string>>,
  log: (line: string) => void,
): Promise<RunningService> {
  const [file, ...args] = await boundToThisProcess([process.execPath, program, 'serve'], 'TERM');
  const child = spawn(file, args, {
    // The line that says where it listens is one of level info.
    env: { ...process.env, ...environment, LOG_LEVEL: 'info' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const address = await new Promise<string>((resolve, reject) => {
    createInterface(child.stdout).on('line', (line) => {
      const entry = JSON.parse(line) as { msg?: string; address?: string; port?: number };
      if (entry.msg === 'serving') {
        resolve((entry.address ?? '').replace(/:\d+$/, `:${entry.port ?? 0}`));
      }
      log(line);
    });
    child.once('exit', (code) => {
      reject(new Error(`the service ended with exit code ${code ?? 'none'}`));
    });
  });
  return { process: child, address };
}

/** A call as a line for a shell. */
export function grpcurlLine(
  address: string,
  apiKey: string,
  method: string,
  request: object,
): string {
  return [
    `grpcurl -plaintext -H 'x-api-key: ${apiKey}'`,
    `-d '${JSON.stringify(request)}'`,
    `${address} sessionimport.v1.${method}`,
  ].join(' \\\n  ');
}
