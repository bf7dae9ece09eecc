import { execFile } from 'node:child_process';
import type { Command } from '../../scripts/mysql/processes';

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
