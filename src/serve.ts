import { once } from 'node:events';
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import type { Config } from './config';
import { SessionImportServer } from './server';
import { createLogger } from './telemetry/log';
import { takeOverOutput } from './telemetry/output';
import { startTracing } from './telemetry/tracing';

/**
 * By how much a small heap may grow before V8 collects all garbage, in percent of what was live. In a container of
 * 512 MiB, V8's own choice is 30 percent. The service has some 30 MB of live data, so that is 10 MB: a few answers of
 * 2 MB fill them, and V8 collected ten times a second.
 */
const heapGrowth = 60;

/** A heap is small if it has a lower limit than this, in bytes. V8 lets a larger one grow by up to 300 percent. */
const largeHeap = 2 * 2 ** 30;

/**
 * Runs the service in this process until the signal tells it to stop, and stops it well. Takes over what the
 * process prints: from here on, every line is one of the service's log.
 *
 * @throws what {@link SessionImportServer.start} throws.
 */
export async function serve(config: Config, signal: AbortSignal): Promise<void> {
  if (getHeapStatistics().heap_size_limit < largeHeap) {
    setFlagsFromString(`--heap-growing-percent=${heapGrowth}`);
  }
  const log = createLogger(config.log);
  takeOverOutput(log);
  const tracing = await startTracing(process.env, log);
  const server = await SessionImportServer.start(config, log, { signal }).catch(
    (error: unknown) => {
      if (error !== signal.reason) throw error;
      // Told to stop before it listened: there is nothing to finish.
      log.info('stopped');
      return undefined;
    },
  );
  if (server) {
    if (!signal.aborted) await once(signal, 'abort');
    await server.stop();
  }
  await tracing?.stop();
}
