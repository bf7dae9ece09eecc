import { setTimeout as sleep } from 'node:timers/promises';
import type { Server } from '@grpc/grpc-js';
import { currentAddress, type Config } from './config';
import { followTarget } from './db/address';
import {
  openDatabase,
  openMultiDatabase,
  openTextDatabase,
  poolUse,
  retireConnections,
} from './db/connection';
import type { Database, MultiDatabase } from './db/database';
import { whenReachable } from './db/reachable';
import { RepeatedWork } from './db/repeated-work';
import { createRetry } from './db/retry';
import { EventHub } from './events/hub';
import { numberEvents } from './events/numbering';
import { unlessAborted } from './files/first-good';
import type { Outcome } from './import/group';
import { StoredAnswers } from './import/idempotency';
import { connectionsPerGroup, Importer } from './import/importer';
import { unobserved } from './import/observer';
import { groupsAtOnce, ImportQueue, type RunGroup } from './import/queue';
import { RefusalRecorder } from './import/refusal-recorder';
import { BacklogWatch } from './metrics/backlog';
import { MetricsServer } from './metrics/http';
import { Metrics, type WatchedPool } from './metrics/metrics';
import { sessionKinds } from './model/session';
import { Callers, lookUpConnections } from './rpc/call/callers';
import { KnownPeers } from './rpc/call/known-peers';
import { lineOfReads, lineOfShares, lineWidth, readSeconds } from './rpc/call/lines';
import { OpenReads } from './rpc/call/open-reads';
import { RateLimiter } from './rpc/call/rate-limiter';
import { RunningCalls } from './rpc/call/running-calls';
import { Watches } from './rpc/events/watches';
import { Arrivals } from './rpc/server/arrivals';
import { CertificateFiles } from './rpc/server/certificates';
import { createGrpcServer, listen } from './rpc/server/grpc-server';
import { HealthMonitor } from './rpc/server/health';
import { Peers } from './rpc/server/peers';
import { OpenStreams } from './rpc/server/streaming';
import { addReflection } from './rpc/server/reflection';
import { addServices, serviceNames } from './rpc/services';
import { sweeps } from './sweeps';
import { takeStep } from './sweeps/sweep';
import { SessionReader } from './store/relations/read';
import { boundsTransactions } from './store/tables';
import type { Logger } from './telemetry/log';
import { keySource } from './token/key-source';
import { Keys } from './token/keys';
import { SigningKeyFile } from './token/signer';
import { ShareTokenVerifier, type Clock } from './token/verifier';
import { CallerMix } from './turns/caller-mix';
import { version } from './version';
import { WithdrawalWalker } from './withdrawals/walker';

/**
 * How long MySQL keeps a connection on which nothing comes, in seconds. If this process freezes, or its machine is lost,
 * what its transactions have locked is free for others after that. The pools close idle connections after half of it.
 */
const idleSeconds = 60;

/** How long the database gets to close its connections, in milliseconds. */
const closeTimeout = 500;

/** Connections for authenticating callers, one for stored answers, and one to look what waits for `prune`. */
const lookUpPool = lookUpConnections + 2;

/**
 * Connections for events: to give them their numbers, to look for new ones, to tell of withdrawals, and one for each
 * sweep.
 */
const feedsPool = 3 + sweeps.length;

/**
 * How long the health check uses a connection, in seconds. It makes new ones often, to see whether that is
 * possible, and the checks after it learn of rights that MySQL looks at only for new ones.
 */
const checkingAge = 5;

/** The parts of the service that have to be closed, in the order of closing. */
interface Parts {
  readonly health: HealthMonitor;
  readonly events: EventHub;
  readonly streams: OpenStreams;
  readonly arrivals: Arrivals;
  readonly peers: Peers;
  readonly grpc: Server;
  readonly closeables: readonly { close(): void }[];
  readonly databases: readonly Database[];
}

/** What a start takes besides the configuration. */
export interface StartOptions {
  readonly clock?: Clock;
  /** Aborted when the service is told to stop: a start that still waits for something ends then. */
  readonly signal?: AbortSignal;
}

/** The running service: everything between the first check of the database and the last answer. */
export class SessionImportServer {
  private stopping: Promise<void> | undefined;

  private constructor(
    /** The port that the service listens on. */
    readonly port: number,
    /** The port of its HTTP side; undefined if it has none. */
    readonly metricsPort: number | undefined,
    private readonly shutdownGrace: number,
    private readonly log: Logger,
    private readonly parts: Parts,
  ) {}

  /**
   * Waits for the database and for keys from a URL, checks that all is fit for use, and starts to serve. It
   * listens last, when it knows its health, so that calls are only accepted by a service that is whole.
   *
   * @throws SchemaMismatch if the database does not fit this version.
   * @throws KeySetError if the keys for share tokens can't be read from a file.
   * @throws Error if the certificates can't be used, or an address can't be listened on.
   * @throws the signal's reason if it is aborted before the service listens.
   */
  static async start(
    config: Config,
    log: Logger,
    { clock = () => new Date(), signal = new AbortController().signal }: StartOptions = {},
  ): Promise<SessionImportServer> {
    const importPool = connectionsPerGroup * groupsAtOnce(config.queue) * sessionKinds.length;
    // Every kind of work has its own pool, with a connection for everything that runs of it at the same
    // time. So no kind waits for connections that another one uses.
    const renew = (): void => {
      for (const each of databases) retireConnections(each);
    };
    const target = followTarget(() => currentAddress(config.database), renew, log);
    const all = { ...config.database, target, idleSeconds };
    const db = openMultiDatabase({ ...all, poolSize: importPool });
    const reading = { ...all, statementSeconds: readSeconds };
    const lookUps = openDatabase({ ...reading, poolSize: lookUpPool });
    const reads = openTextDatabase({ ...reading, poolSize: lineWidth });
    const shares = openTextDatabase({ ...all, poolSize: lineWidth });
    const recording = openMultiDatabase({ ...all, poolSize: 1 });
    const feeds = openMultiDatabase({ ...all, poolSize: feedsPool });
    const checking = openDatabase({
      ...reading,
      poolSize: 1,
      maxAgeSeconds: Math.min(checkingAge, config.database.maxAgeSeconds),
      lockWaitSeconds: 1,
    });
    const databases: readonly Database[] = [
      ...[db, lookUps, reads, shares, recording, feeds, checking],
    ];
    const health = new HealthMonitor(checking, serviceNames, renew, log);
    const closeables: { close(): void }[] = [target];
    const opened = <T extends { close(): void }>(part: T): T => {
      closeables.push(part);
      return part;
    };
    try {
      const { metricsAddress } = config;
      let listening = false;
      const isReady = (): boolean => listening && health.ready;
      let metrics: Metrics | undefined;
      let http: MetricsServer | undefined;
      if (metricsAddress !== undefined) {
        metrics = new Metrics(version, isReady);
        http = opened(
          await MetricsServer.start(
            { address: metricsAddress, option: 'METRICS_ADDRESS' },
            metrics,
            isReady,
          ),
        );
        log.info({ address: metricsAddress, port: http.port }, 'watched');
      }

      const observer = metrics ?? unobserved;
      const retry = createRetry((failure) => {
        observer.retried(failure);
      });
      const { importer, sessions, bounded } = await whenReachable(
        async () => ({
          importer: await Importer.create(db, retry, clock),
          sessions: await SessionReader.create(reads),
          bounded: await boundsTransactions(db),
        }),
        (why) => {
          log.warn(why, 'waiting for the database');
        },
        signal,
      );
      if (!bounded) {
        log.warn('max_binlog_cache_size is not bounded: a very large session holds up all others');
      }
      const keys = opened(await Keys.open(keySource(config.shareTokenJwks), log, signal));
      const shareTokens = new ShareTokenVerifier(keys, clock, config.shareTokenClockSkew);
      const signer =
        config.shareTokenSigningKey === undefined
          ? undefined
          : opened(await SigningKeyFile.open(config.shareTokenSigningKey, shareTokens, clock, log));
      const running = new RunningCalls();
      const known = new KnownPeers();
      const arrivals = new Arrivals(running, known);
      const openReads = new OpenReads();
      const mix = new CallerMix();
      const lines = {
        reads: lineOfReads(reads, retry, mix),
        shares: lineOfShares(shares, retry),
      };
      const watches = new Watches();
      const imports = new ImportQueue(groupsOf(importer, log), config.queue, observer);
      const certificates =
        config.grpc.tls && opened(await CertificateFiles.open(config.grpc.tls, log));
      const backlog = metrics && opened(new BacklogWatch(lookUps, clock, log));
      metrics?.watch({
        pools: [
          watched('import', db, importPool),
          watched('look_up', lookUps, lookUpPool),
          watched('reads', reads, lineWidth),
          watched('shares', shares, lineWidth),
          watched('refusals', recording, 1),
          watched('events', feeds, feedsPool),
          watched('health', checking, 1),
        ],
        lines: () => ({
          begin: arrivals.waiting,
          reads: openReads.waiting + lines.reads.waiting,
          shares: lines.shares.waiting,
        }),
        queue: () => imports.lengths(),
        queueLimit: config.queue.limit,
        keySet: () => keys.state(),
        certificateExpiry: () => certificates?.expiry,
        backlog: () => backlog?.backlog,
        eventStreams: () => watches.count,
      });

      const events = opened(new EventHub(feeds));
      for (const work of repeatedWork(feeds, events, config, clock, log)) opened(work);
      const streams = new OpenStreams();
      const grpc = createGrpcServer(config.grpc, running, streams, metrics);
      addServices(grpc, {
        callers: new Callers(lookUps, retry, config.trustedGateways),
        known,
        mix,
        rateLimiter: new RateLimiter(config.rateLimit),
        openReads,
        lines,
        shareTokens,
        signer,
        clock,
        storedAnswers: new StoredAnswers(lookUps, retry),
        imports,
        refusals: opened(new RefusalRecorder(recording, retry, observer, log)),
        sessions,
        sessionBaseUrl: config.sessionBaseUrl,
        requireConnections: config.requireConnections,
        events,
        watches,
        running,
        observer,
        log,
      });
      health.addToServer(grpc);
      addReflection(grpc);
      const silence = config.database.readTimeoutSeconds * 1_000;
      await unlessAborted(() => health.start(() => imports.isStuck(silence)), signal);
      const port = await listen(grpc, config.grpc.address, certificates?.credentials());
      listening = true;
      const peers = opened(new Peers(grpc, config.grpc, arrivals, known, metrics, log));
      const ports = { port, ...(http ? { metrics_port: http.port } : {}) };
      log.info({ address: config.grpc.address, ...ports, tls: Boolean(certificates) }, 'serving');
      const parts = { health, events, streams, arrivals, peers, grpc, closeables, databases };
      return new SessionImportServer(port, http?.port, config.shutdownGrace, log, parts);
    } catch (error) {
      health.stop();
      for (const part of closeables) part.close();
      await atMost(closeTimeout, closed(databases));
      throw error;
    }
  }

  /**
   * Stops the service: refuses new calls, waits until running calls and all connections of clients have ended (within
   * the configured grace), and closes the database connections. Safe to call more than once.
   */
  stop(): Promise<void> {
    this.stopping ??= this.drain();
    return this.stopping;
  }

  private async drain(): Promise<void> {
    const { health, events, streams, arrivals, peers, grpc, closeables, databases } = this.parts;
    this.log.info('stopping: finishing what runs');
    health.stop();
    // These streams would not end by themselves.
    events.close();
    streams.stop();
    // That a peer has its answers is known only when its connection ends. And a call can run on when its peer has gone.
    await atMost(this.shutdownGrace * 1_000, Promise.all([peers.drain(), arrivals.ended()]));
    grpc.forceShutdown();
    for (const part of closeables) part.close();
    await atMost(closeTimeout, closed(databases));
    this.log.info('stopped');
  }
}

/** What the service does by itself, each with a connection of the feeds' pool. */
function repeatedWork(
  feeds: MultiDatabase,
  events: EventHub,
  { eventInterval, sweepInterval }: Config,
  clock: Clock,
  log: Logger,
): RepeatedWork[] {
  const walker = new WithdrawalWalker(feeds, clock, log);
  const sweepPause = sweepInterval * 1_000;
  const often = { interval: eventInterval, log };
  return [
    new RepeatedWork(async () => (await numberEvents(feeds, eventInterval)) === 'more', {
      ...often,
      complaint: 'could not number events: they wait',
    }),
    new RepeatedWork(() => events.look().then(() => false), {
      ...often,
      complaint: 'could not look for events: streams wait',
    }),
    new RepeatedWork((signal) => walker.walk(signal), {
      ...often,
      complaint: 'could not tell of withdrawals: they wait',
    }),
    ...sweeps.map(
      (sweep) =>
        new RepeatedWork(() => takeStep(feeds, sweep, sweepPause), {
          ...{ interval: sweepPause, log },
          complaint: `could not look for sources (${sweep.name}): it is tried again`,
        }),
    ),
  ];
}

/** Runs groups, and logs each of them at level debug, for tuning the queue. */
function groupsOf(importer: Importer, log: Logger): RunGroup {
  return async (kind, requests, limits, locking) => {
    const startedAt = performance.now();
    const outcomes = await importer.import(kind, requests, limits, locking);
    if (log.isLevelEnabled('debug')) {
      const count = (type: Outcome['type']): number =>
        outcomes.filter((outcome) => outcome.type === type).length;
      const counts = {
        imported: count('imported'),
        postponed: count('postponed'),
        locked: count('locked'),
        overtaken: count('overtaken'),
      };
      const ms = Math.round(performance.now() - startedAt);
      log.debug({ kind, calls: requests.length, ...counts, ms }, 'group');
    }
    return outcomes;
  };
}

function watched(name: string, database: Database, limit: number): WatchedPool {
  return { name, limit, use: () => poolUse(database) };
}

/** Closes databases. One that hangs does not end, so nobody should wait for it for ever. */
function closed(databases: readonly Database[]): Promise<unknown> {
  return Promise.all(databases.map((database) => database.destroy()));
}

/** Waits for something, but not for longer than some milliseconds. */
async function atMost(milliseconds: number, work: Promise<unknown>): Promise<void> {
  await Promise.race([work, sleep(milliseconds, undefined, { ref: false })]);
}
