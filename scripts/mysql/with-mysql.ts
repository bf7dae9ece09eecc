/**
 * Runs a command with a private MySQL server, whose address the command finds in `DATABASE_URL`:
 *
 *     node -r sucrase/register scripts/mysql/with-mysql.ts -- <command> [args…]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { exitCodeOf } from './cleanup';
import { boundToThisProcess } from './processes';
import { startMysql } from './server';

async function main([program, ...args]: readonly string[]): Promise<void> {
  if (program === undefined) {
    throw new Error('Usage: with-mysql.ts -- <command> [args…]');
  }
  // As docs/deployment.md says ("The server's settings").
  const server = await startMysql({ mysqldArguments: ['--max-binlog-cache-size=16M'] });
  const [bound, ...boundArgs] = await boundToThisProcess([program, ...args], 'TERM');
  const command = spawn(bound, boundArgs, {
    stdio: 'inherit',
    env: { ...process.env, DATABASE_URL: server.url },
  });
  // A terminal sends Ctrl-C to the command as well, and many take a second one for impatience.
  const isInteractive = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  process.on('SIGINT', (signal) => isInteractive || command.kill(signal));
  process.on('SIGTERM', (signal) => command.kill(signal));

  const [code, signal] = (await once(command, 'exit')) as [number, null] | [null, NodeJS.Signals];
  process.exitCode = code ?? exitCodeOf(signal);
  await server.stop();
}

main(process.argv.slice(process.argv[2] === '--' ? 3 : 2)).catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
