import { Command } from '@commander-js/extra-typings';
import { readConfig, variables } from '../config';
import { SessionImportServer } from '../server';
import { createLogger } from '../telemetry/logger';

/** `serve`: runs the service in the foreground until it is told to stop. */
export function serveCommand() {
  return new Command('serve')
    .description('run the service until SIGTERM or SIGINT')
    .addHelpText('after', `\nEnvironment:\n${explainVariables()}`)
    .action(async () => {
      const config = readConfig(process.env);
      // From the start, and for good: a second signal must not cut short what the first has begun.
      const told = new Promise<void>((resolve) => {
        for (const signal of ['SIGTERM', 'SIGINT'] as const) {
          process.on(signal, () => {
            resolve();
          });
        }
      });
      const log = createLogger(config.logLevel);
      const starting = SessionImportServer.start(config, log);
      const server = await Promise.race([starting, told]);
      // Told to stop before it has begun to serve: there is nothing to finish.
      if (!server) process.exit();
      await told;
      await server.stop();
      // A connection that hangs would keep the process alive.
      process.exit();
    });
}

function explainVariables(): string {
  return Object.entries(variables)
    .map(([name, variable]) => {
      const fallback = 'default' in variable ? `default: ${variable.default}` : 'required';
      return `  ${name}\n      ${variable.description} (${fallback})`;
    })
    .join('\n');
}
