import { setTimeout as sleep } from 'node:timers/promises';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { Callers } from './auth/callers';
import type { Config } from './config';
import { openDatabase, type Database } from './db/connection';
import { SessionImportService } from './gen/sessionimport/v1/session_import';
import { Importer } from './import/importer';
import { ImportQueue } from './import/import-queue';
import { HealthMonitor } from './rpc/health';
import { importSession } from './rpc/import-session';
import { reflectionService } from './rpc/reflection';
import { RunningCalls } from './rpc/running-calls';
import type { Logger } from './telemetry/logger';
import { keySource } from './token/key-source';
import { Keys } from './token/keys';
import { ShareTokenVerifier, type Clock } from './token/verifier';

/** How long connections get to close by themselves once no call runs any more, in milliseconds. */
const closingTime = 500;

/** The largest request that is read: a share token and a few short fields. */
const largestRequest = 64 * 1024;

/** The running service: everything between the first check of the database and the last answer. */
export class SessionImportServer {
  private stopping: Promise<void> | undefined;

  private constructor(
    /** The port that the service listens on. */
    readonly port: number,
    private readonly config: Config,
    private readonly log: Logger,
    private readonly parts: {
      readonly db: Database;
      readonly keys: Keys;
      readonly running: RunningCalls;
      readonly health: HealthMonitor;
      readonly grpc: Server;
    },
  ) {}

  /**
   * Checks that the database and the keys are fit for use, and starts to serve.
   *
   * @throws SchemaMismatch if the database does not fit this version.
   * @throws KeySetError if the keys for share tokens can't be read.
   */
  static async start(
    config: Config,
    log: Logger,
    clock: Clock = () => new Date(),
  ): Promise<SessionImportServer> {
    const db = openDatabase(config.database);
    let keys: Keys | undefined;
    try {
      const importer = await Importer.create(db);
      keys = await Keys.open(keySource(config.shareTokenJwks), log);
      const imports = new ImportQueue((kind, requests) => {
        log.debug({ kind, calls: requests.length }, 'group');
        return importer.import(kind, requests);
      }, config.queue);

      const running = new RunningCalls();
      const grpc = new Server({ 'grpc.max_receive_message_length': largestRequest });
      grpc.addService(SessionImportService, {
        importSession: importSession({
          callers: new Callers(db),
          shareTokens: new ShareTokenVerifier(keys, clock, config.shareTokenClockSkew),
          imports,
          sessionBaseUrl: config.sessionBaseUrl,
          running,
          log,
        }),
      });
      const health = new HealthMonitor(db, [
        SessionImportService.importSession.path.split('/')[1] ?? '',
      ]);
      health.addToServer(grpc);
      reflectionService().addToServer(grpc);

      await health.start();
      const port = await listen(grpc, config.grpcAddress);
      log.info({ address: config.grpcAddress, port }, 'serving');
      return new SessionImportServer(port, config, log, { db, keys, running, health, grpc });
    } catch (error) {
      keys?.close();
      await db.destroy();
      throw error;
    }
  }

  /**
   * Stops: refuses what comes, finishes what runs (within the configured grace), and lets go of the
   * database. Safe to call more than once.
   */
  stop(): Promise<void> {
    this.stopping ??= this.drain();
    return this.stopping;
  }

  private async drain(): Promise<void> {
    const { db, keys, running, health, grpc } = this.parts;
    this.log.info('stopping: finishing what runs');
    health.stop();
    const closed = new Promise<void>((resolve) => {
      grpc.tryShutdown(() => {
        resolve();
      });
    });
    const grace = sleep(this.config.shutdownGrace * 1_000, undefined, { ref: false });
    await Promise.race([running.ended(), grace]);
    // A client that watches the health keeps its connection for ever: it is not waited for.
    await Promise.race([closed, sleep(closingTime, undefined, { ref: false })]);
    grpc.forceShutdown();
    keys.close();
    await db.destroy();
    this.log.info('stopped');
  }
}

function listen(grpc: Server, address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    grpc.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
      if (error) reject(error);
      else resolve(port);
    });
  });
}
