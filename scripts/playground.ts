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

/** A session that one demo application shares with another, and all it takes to import it. */
export interface Offer {
  readonly kind: 'user' | 'business';
  readonly sessionId: string;
  readonly shareToken: string;
  readonly workflowId: string;
}

/** A migrated database with demo data, a signing key, and the offers made with it. */
export interface Playground {
  readonly sourceName: string;
  readonly importingName: string;
  readonly apiKey: string;
  readonly offers: readonly Offer[];
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
  const seeded = await command('seed');
  await command('signing-key', 'generate', '--out', signingKey, '--jwks', jwks);

  const offer = async (kind: Offer['kind']): Promise<Offer> => {
    const sessionId = seeded[`${kind}_session_id`] ?? '';
    const token = await command(
      ...['share-token', 'sign', '--key', signingKey, '--session', sessionId],
      ...['--for', seeded['importing_application_id'] ?? ''],
    );
    return {
      kind,
      sessionId,
      shareToken: token['share_token'] ?? '',
      workflowId: seeded[`${kind}_workflow_id`] ?? '',
    };
  };
  return {
    sourceName: seeded['source_application'] ?? '',
    importingName: seeded['importing_application'] ?? '',
    apiKey: seeded['api_key'] ?? '',
    offers: [await offer('user'), await offer('business')],
    environment: {
      SHARE_TOKEN_JWKS: jwks,
      SESSION_BASE_URL: 'https://verify.example.com/session',
    },
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

/** The same call as a line for a shell. */
export function grpcurlLine(address: string, apiKey: string, offer: Offer): string {
  const request = {
    share_token: offer.shareToken,
    workflow_id: offer.workflowId,
    vendor_data: vendorDataOf(offer),
    trust_review: true,
  };
  return [
    `grpcurl -plaintext -H 'x-api-key: ${apiKey}'`,
    `-d '${JSON.stringify(request)}'`,
    `${address} sessionimport.v1.SessionImport/ImportSession`,
  ].join(' \\\n  ');
}

/** What the importing application calls the person or company of an offer. */
export function vendorDataOf(offer: Offer): string {
  return `demo-${offer.kind}-1`;
}
