import { setTimeout as sleep } from 'node:timers/promises';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { Callers } from './auth/callers';
import type { Config } from './config';
import { openDatabase, type Database } from './db/connection';
import { SessionImportService } from './gen/sessionimport/v1/session_import';
import type { Outcome } from './import/import-group';
import { connectionsPerGroup, Importer } from './import/importer';
import { groupsAtOnce, ImportQueue, type RunGroup } from './import/import-queue';
import { sessionKinds } from './import/session';
import { HealthMonitor } from './rpc/health';
import { importSession } from './rpc/import-session';
import { reflectionService } from './rpc/reflection';
import { RunningCalls } from './rpc/running-calls';
import { strictUtf8 } from './rpc/strict-utf8';
import type { Logger } from './telemetry/logger';
import { keySource } from './token/key-source';
import { Keys } from './token/keys';
import { ShareTokenVerifier, type Clock } from './token/verifier';

/** How long clients, and then the database, get to close their connections, in milliseconds. */
const closingTime = 500;

/** The largest request that is read: a share token and a few short fields. */
const largestRequest = 64 * 1024;

/** Connections for finding callers and for looking whether the database answers. */
const lookUpPool = 4;

/** What the service is made of, as far as it has to be closed again. */
interface Parts {
  readonly databases: readonly Database[];
  readonly keys: Keys;
  readonly running: RunningCalls;
  readonly health: HealthMonitor;
  readonly grpc: Server;
}

/** The running service: everything between the first check of the database and the last answer. */
export class SessionImportServer {
  private stopping: Promise<void> | undefined;

  private constructor(
    /** The port that the service listens on. */
    readonly port: number,
    private readonly shutdownGrace: number,
    private readonly log: Logger,
    private readonly parts: Parts,
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
    const importPool = connectionsPerGroup * groupsAtOnce(config.queue) * sessionKinds.length;
    const db = openDatabase({ ...config.database, poolSize: importPool, together: true });
    // Apart, so that callers are known and health is told while every import waits for something.
    const lookUps = openDatabase({ ...config.database, poolSize: lookUpPool });
    const running = new RunningCalls();
    const health = new HealthMonitor(lookUps, ['sessionimport.v1.SessionImport']);
    const grpc = new Server({ 'grpc.max_receive_message_length': largestRequest });
    let keys: Keys | undefined;
    try {
      const importer = await Importer.create(db);
      keys = await Keys.open(keySource(config.shareTokenJwks), log);
      const imports = new ImportQueue(groupsOf(importer, log), config.queue);
      const context = {
        callers: new Callers(lookUps),
        shareTokens: new ShareTokenVerifier(keys, clock, config.shareTokenClockSkew),
        imports,
        sessionBaseUrl: config.sessionBaseUrl,
        running,
        log,
      };
      grpc.addService(strictUtf8(SessionImportService), { importSession: importSession(context) });
      health.addToServer(grpc);
      reflectionService().addToServer(grpc);

      await health.start();
      const port = await listen(grpc, config.grpcAddress);
      log.info({ address: config.grpcAddress, port }, 'serving');
      const parts = { databases: [db, lookUps], keys, running, health, grpc };
      return new SessionImportServer(port, config.shutdownGrace, log, parts);
    } catch (error) {
      health.stop();
      keys?.close();
      await Promise.all([db.destroy(), lookUps.destroy()]);
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
    const { databases, keys, running, health, grpc } = this.parts;
    this.log.info('stopping: finishing what runs');
    health.stop();
    const closed = new Promise<void>((resolve) => {
      grpc.tryShutdown(() => {
        resolve();
      });
    });
    await within(this.shutdownGrace * 1_000, running.ended());
    // A client that watches the health keeps its connection for ever: it is not waited for.
    await within(closingTime, closed);
    grpc.forceShutdown();
    keys.close();
    // Nor is a database that hangs.
    await within(closingTime, Promise.all(databases.map((db) => db.destroy())));
    this.log.info('stopped');
  }
}

/** Runs groups, and has each of them in the log, for those who tune the queue. */
function groupsOf(importer: Importer, log: Logger): RunGroup {
  return async (kind, requests, limits) => {
    const startedAt = performance.now();
    const outcomes = await importer.import(kind, requests, limits);
    if (log.isLevelEnabled('debug')) {
      const count = (type: Outcome['type']): number =>
        outcomes.filter((outcome) => outcome.type === type).length;
      const counts = { imported: count('imported'), postponed: count('postponed') };
      const ms = Math.round(performance.now() - startedAt);
      log.debug({ kind, calls: requests.length, ...counts, ms }, 'group');
    }
    return outcomes;
  };
}

/** Waits for something, but not for longer than some milliseconds. */
async function within(milliseconds: number, work: Promise<unknown>): Promise<void> {
  await Promise.race([work, sleep(milliseconds, undefined, { ref: false })]);
}

function listen(grpc: Server, address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    grpc.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
      if (error) {
        reject(new Error(`can not listen on GRPC_ADDRESS ${address}: ${error.message}`));
      } else {
        resolve(port);
      }
    });
  });
}
