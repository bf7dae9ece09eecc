import { execFile } from 'node:child_process';
import type { Command } from '../../scripts/mysql/processes';
import { CertificateAuthority } from '../support/certificates';
import { startHarness, type Harness } from '../support/service';
import { serverNames } from '../support/tls';

/** How an example has ended, and the JSON that it has printed. */
export interface ExampleResult {
  readonly exitCode: number | null;
  readonly printed: Readonly<Record<string, unknown>>;
}

/** Runs an example to its end; only `PATH` and what is given is in its environment. */
export function runExample(
  [program, ...args]: Command,
  environment: Readonly<Record<string, string>>,
): Promise<ExampleResult> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      program,
      args,
      { env: { PATH: process.env['PATH'], ...environment } },
      (_error, stdout, stderr) => {
        try {
          const printed = JSON.parse(stdout) as ExampleResult['printed'];
          resolve({ exitCode: child.exitCode, printed });
        } catch {
          reject(new Error(`the example has failed: ${stderr}`));
        }
      },
    );
  });
}

/** A service that wants a certificate of its clients, and what an example needs to call it. */
export interface MutualTls {
  readonly harness: Harness;
  readonly options: readonly string[];
  stop(): Promise<void>;
}

export async function startWithMutualTls(): Promise<MutualTls> {
  const authority = await CertificateAuthority.create();
  const server = await authority.issue('server', [...serverNames]);
  const client = await authority.issue('client', [{ type: 'dns', value: 'client.internal' }]);
  const harness = await startHarness({
    environment: {
      GRPC_TLS_CERT: server.certificate,
      GRPC_TLS_KEY: server.privateKey,
      GRPC_TLS_CLIENT_CA: authority.file,
    },
  });
  return {
    harness,
    options: [
      ...['--cacert', authority.file],
      ...['--cert', client.certificate, '--key', client.privateKey],
    ],
    async stop() {
      await harness.stop();
      await authority.remove();
    },
  };
}
