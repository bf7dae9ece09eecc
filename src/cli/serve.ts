import { Command } from '@commander-js/extra-typings';
import { readConfig, variables } from '../config';

/** Variables that the OpenTelemetry SDK reads by itself. */
const openTelemetry = `  OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_EXPORTER, OTEL_TRACES_SAMPLER, …
      Traces, by the standard variables of OpenTelemetry (default: no traces)`;

/** `serve`: runs the service in the foreground until it is told to stop. */
export function serveCommand() {
  return new Command('serve')
    .description('run the service until SIGTERM or SIGINT')
    .addHelpText('after', `\nEnvironment:\n${explainVariables()}\n${openTelemetry}`)
    .action(async () => {
      // Registered first, and never removed: a process that starts can be stopped at every moment,
      // and a second signal does not cut the stop short.
      const stopping = new AbortController();
      for (const signal of ['SIGTERM', 'SIGINT'] as const) {
        process.on(signal, () => {
          stopping.abort();
        });
      }
      const config = readConfig(process.env);
      // Loaded only here: it is most of the program, and the other commands need nothing of it.
      const { serve } = await import('../serve.js');
      await serve(config, stopping.signal);
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
