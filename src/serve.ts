import type { Config } from './config';
import { SessionImportServer } from './server';
import { createLogger } from './telemetry/log';
import { takeOverOutput } from './telemetry/output';
import { startTracing } from './telemetry/tracing';

/**
 * Runs the service in this process until it is told to stop, and stops it well. Takes over what the
 * process prints: from here on, every line is one of the service's log.
 *
 * @throws what {@link SessionImportServer.start} throws.
 */
export async function serve(config: Config, told: Promise<void>): Promise<void> {
  const log = createLogger(config.log);
  takeOverOutput(log);
  const tracing = await startTracing(process.env, log);
  const server = await Promise.race([SessionImportServer.start(config, log), told]);
  // Told to stop before it has begun to serve: there is nothing to finish.
  if (!server) return;
  await told;
  await server.stop();
  await tracing?.stop();
}
