import { readConfig } from '../../src/config';
import type { Database } from '../../src/db/database';
import { SessionImportServer } from '../../src/server';
import { createLogger, type LogLevel } from '../../src/telemetry/log';
import type { Clock } from '../../src/token/verifier';
import { TestClient } from './client';
import { createSigner, createTenant, type Signer, type Tenant } from './fixtures';
import { reading } from './metrics';
import { databaseUrl, open, serviceUrl } from './mysql';
import { MysqlProxy } from './mysql-proxy';
import { Signal } from './signal';

/** A running service with everything that a test needs around it. */
export interface Harness {
  readonly db: Database;
  readonly signer: Signer;
  readonly server: SessionImportServer;
  readonly client: TestClient;
  /** Shares. */
  readonly source: Tenant;
  /** Imports. */
  readonly target: Tenant;
  /** What the service has logged, line by line. */
  readonly logLines: readonly string[];
  /** Waits until a condition holds, looking at it whenever the service logs a line. */
  logged(condition: () => boolean): Promise<void>;
  /** Waits until as many calls wait in the queue. */
  queued(calls: number): Promise<void>;
  stop(): Promise<void>;
}

export interface HarnessOptions {
  /** Environment variables that differ from those of the tests. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly clock?: Clock;
  readonly logLevel?: LogLevel;
  /** Another harness's signer, whose share tokens this service accepts too. That harness removes it. */
  readonly signer?: Signer;
}

/**
 * An environment in which the service writes nothing by itself: events get no numbers for a minute,
 * and nobody looks for sources that are gone.
 */
export const writingNothing = { EVENT_INTERVAL: '60000', SOURCE_SWEEP_INTERVAL: '86400' };

/** A harness whose service reaches MySQL through a proxy that can make faults. */
export interface ProxiedHarness extends Harness {
  readonly proxy: MysqlProxy;
}

/** Starts a harness with a proxy between the service and MySQL; the harness itself goes without. */
export async function startProxiedHarness(
  environment: Readonly<Record<string, string>> = {},
  clock?: Clock,
): Promise<ProxiedHarness> {
  const proxy = await MysqlProxy.open(serviceUrl());
  const harness = await startHarness({
    // Faults are for the calls of a test, and not for what the service does by itself.
    environment: { ...writingNothing, ...environment, DATABASE_URL: proxy.url },
    ...(clock ? { clock } : {}),
  });
  return {
    ...harness,
    proxy,
    async stop() {
      await harness.stop();
      proxy.close();
    },
  };
}

/** Starts a service on the test database, with two fresh applications and a client. */
export async function startHarness(options: HarnessOptions = {}): Promise<Harness> {
  const db = open(databaseUrl());
  const signer = options.signer ?? (await createSigner());
  const removeSigner = () => (options.signer ? Promise.resolve() : signer.remove());
  const logLines: string[] = [];
  const logging = new Signal();
  const config = readConfig({
    DATABASE_URL: serviceUrl(),
    GRPC_ADDRESS: '127.0.0.1:0',
    METRICS_ADDRESS: '127.0.0.1:0',
    SHARE_TOKEN_JWKS: signer.jwks,
    SHARE_TOKEN_SIGNING_KEY: signer.signingKey,
    SESSION_BASE_URL: 'https://verify.example.com/session',
    // Tests change and delete sessions as they like.
    SOURCE_SWEEP_INTERVAL: '86400',
    ...options.environment,
  });
  const log = createLogger(
    { level: options.logLevel ?? 'debug', format: 'json' },
    {
      write: (line) => {
        logLines.push(line);
        logging.fire();
      },
    },
  );
  const server = await SessionImportServer.start(config, log, options).catch(
    async (error: unknown) => {
      await removeSigner();
      await db.destroy();
      throw error;
    },
  );
  const client = new TestClient(server.port);
  return {
    db,
    signer,
    server,
    client,
    logLines,
    logged: (condition) => logging.until(condition),
    queued: (calls) => reading(server.metricsPort, 'session_import_queue_calls', {}, calls),
    source: await createTenant(db),
    target: await createTenant(db),
    async stop() {
      client.close();
      await server.stop();
      await removeSigner();
      await db.destroy();
    },
  };
}
