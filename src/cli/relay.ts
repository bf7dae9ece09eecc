import { Command } from '@commander-js/extra-typings';
import { readLogOptions } from '../config';
import { createLogger, type Logger } from '../telemetry/log';
import { takeOverOutput } from '../telemetry/output';
import type { MetricsServer } from '../metrics/http';
import type { RelayMetrics } from '../metrics/relay-metrics';
import { addressArgument, wholeNumberArgument } from './arguments';
import { credentialsOf } from './channel';
import { CommandFailure } from './output';

const explanation = `
Each event is posted at least once, and in the order of the feed, as Standard Webhooks says: signed, with the id of the
event in webhook-id. The next event is posted when the receiver has answered with 2xx; until then, the event is tried
again, with growing pauses, for ever.

The API key, and the files for TLS, are read for each connection; the secrets within a second after they have changed.

Environment:
  LOG_LEVEL, LOG_FORMAT
      As for serve

Exit code: 0 after SIGTERM or SIGINT; 3 if the cursor does not fit the feed, so that you have to say where to go on
(--after); 1 if the receiver has answered with 410 Gone, or the relay can't go on for another reason.`;

/** `relay`: posts the events of an application to a URL. */
export function relayCommand() {
  return new Command('relay')
    .description('post the events of an application to a URL, until SIGTERM or SIGINT')
    .requiredOption('--address <host:port>', 'where the service is')
    .requiredOption(
      '--api-key-file <file>',
      'the API key of the application, with the privilege read:session-events',
    )
    .requiredOption('--to <url>', 'where to post: an https URL, or http on loopback')
    .requiredOption(
      '--secret-file <file>',
      'the secret that signs (whsec_…), or an old and a new one, each on a line',
    )
    .requiredOption('--cursor-file <file>', 'keeps which events were delivered')
    .option(
      '--after <number>',
      'where to go on, or to begin, in place of the cursor file: after the event with this number',
      wholeNumberArgument(0, Number.MAX_SAFE_INTEGER - 1),
    )
    .option(
      '--timeout <seconds>',
      'how long the receiver may take to answer',
      wholeNumberArgument(1, 300),
      15,
    )
    .option(
      '--metrics-address <host:port>',
      'where to serve /metrics, /livez and /readyz (default: nowhere)',
      addressArgument,
    )
    .option('--allow-plaintext', 'allow http beyond loopback in --to')
    .option('--plaintext', 'no TLS to the service')
    .option('--cacert <file>', 'the CAs of the service (default: the well-known ones)')
    .option('--cert <file>', 'a certificate of your own')
    .option('--key <file>', 'its private key')
    .addHelpText('after', explanation)
    .action(
      async ({
        address,
        apiKeyFile,
        timeout,
        metricsAddress,
        allowPlaintext = false,
        ...options
      }) => {
        // Registered first, and never removed: a second signal does not cut the stop short.
        const stopping = new AbortController();
        for (const signal of ['SIGTERM', 'SIGINT'] as const) {
          process.on(signal, () => {
            stopping.abort();
          });
        }
        const log = createLogger(readLogOptions(process.env));
        takeOverOutput(log);
        // Loaded only here, since no other command posts anything.
        const { relay, CursorUnusable } = await import('../relay/relay.js');
        const { RelayMetrics } = await import('../metrics/relay-metrics.js');
        const service = { address, apiKeyFile, credentials: () => credentialsOf(options) };
        const settings = { ...options, service, allowPlaintext, timeout: timeout * 1_000 };
        const metrics = new RelayMetrics();
        const http =
          metricsAddress === undefined
            ? undefined
            : await serveMetrics(metricsAddress, metrics, log);
        try {
          await relay(settings, log, stopping.signal, metrics);
        } catch (error) {
          if (error instanceof CursorUnusable) throw new CommandFailure(error.message, 3);
          // Without the code of a file's error, which would be taken for that of a database out of reach.
          throw new Error((error as Error).message, { cause: error });
        } finally {
          http?.close();
        }
      },
    );
}

async function serveMetrics(
  address: string,
  metrics: RelayMetrics,
  log: Logger,
): Promise<MetricsServer> {
  const { MetricsServer } = await import('../metrics/http.js');
  const server = await MetricsServer.start(
    { address, option: '--metrics-address' },
    metrics,
    () => metrics.works,
  );
  log.info({ address, port: server.port }, 'watched');
  return server;
}
