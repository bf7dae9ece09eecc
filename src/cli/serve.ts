import { Command } from '@commander-js/extra-typings';
import { readConfig, variables } from '../config';
import { SessionImportServer } from '../server';
import { createLogger } from '../telemetry/log';
import { takeOverOutput } from '../telemetry/output';
import { startTracing } from '../telemetry/tracing';

/** Variables that the OpenTelemetry SDK reads by itself. */
const openTelemetry = `  OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_EXPORTER, OTEL_TRACES_SAMPLER, …
      Traces, by the standard variables of OpenTelemetry (default: no traces)`;

/** `serve`: runs the service in the foreground until it is told to stop. */
export function serveCommand() {
  return new Command('serve')
    .description('run the service until SIGTERM or SIGINT')
    .addHelpText('after', `\nEnvironment:\n${explainVariables()}\n${openTelemetry}`)
    .action(async () => {
      const config = readConfig(process.env);
      // Registered from the start and never removed: a second signal must not cut the stop short.
      const told = new Promise<void>((resolve) => {
        for (const signal of ['SIGTERM', 'SIGINT'] as const) {
          process.on(signal, () => {
            resolve();
          });
        }
      });
      const log = createLogger(config.log);
      takeOverOutput(log);
      const tracing = await startTracing(process.env, log);
      const starting = SessionImportServer.start(config, log);
      const server = await Promise.race([starting, told]);
      // Told to stop before it has begun to serve: there is nothing to finish.
      if (!server) process.exit();
      await told;
      await server.stop();
      await tracing?.stop();
      // A connection that hangs would keep the process alive.
      process.exit();
    });
}

function explainVariables(): string {
  return Object.entries(variables)
    .map(([name, variable]) => {
      const file = 'secret' in variable ? `, or ${name}_FILE` : '';
      return `  ${name}${file}\n      ${variable.description} (${fallbackOf(variable)})`;
    })
    .join('\n');
}

function fallbackOf(variable: (typeof variables)[keyof typeof variables]): string {
  if ('default' in variable) return `default: ${variable.default}`;
  return 'optional' in variable ? 'optional' : 'required';
}
