import { status } from '@grpc/grpc-js';
import { Counter, Gauge, Histogram } from 'prom-client';
import type { PoolUse } from '../db/connection';
import type { DatabaseFailure } from '../db/errors';
import type { QueueLength } from '../import/queue';
import type { ImportEnding, ImportObserver } from '../import/observer';
import type { WaitingCount } from '../model/retention';
import type { ClonedRows, SessionKind } from '../model/session';
import {
  cutOffs,
  type CutOff,
  type PeerObserver,
  type RpcLabels,
  type RpcObserver,
} from '../rpc/server/observer';
import type { Backlog } from './backlog';
import { ExposedMetrics } from './exposed';

/** Seconds, from the quickest refusal to the longest deadline that callers are likely to have. */
const secondsBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

const groupSizeBuckets = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

const rpcLabels = ['grpc_type', 'grpc_service', 'grpc_method'] as const;

/** A pool of database connections, as far as it is watched. */
export interface WatchedPool {
  /** What the pool is for: a label. */
  readonly name: string;
  readonly limit: number;
  readonly use: () => PoolUse;
}

/** What is looked at whenever the metrics are read. */
export interface Watched {
  readonly pools: readonly WatchedPool[];
  /** How many calls wait, by line; imports have a queue of their own once they have begun. */
  readonly lines: () => Readonly<Record<string, number>>;
  /** How many calls wait, by kind and lane. */
  readonly queue: () => readonly QueueLength[];
  readonly queueLimit: number;
  readonly keySet: () => { readonly keys: number; readonly ageSeconds: number };
  /** When the server's certificate expires; undefined: it has none. */
  readonly certificateExpiry: () => Date | undefined;
  /** What there is for the job that prunes; undefined: not known now. Then nothing is told of it. */
  readonly backlog: () => Backlog | undefined;
  /** How many streams of events are open. */
  readonly eventStreams: () => number;
}

/**
 * Everything that the service tells Prometheus. One object per service: nothing is global, so that
 * several services can run in one process.
 */
export class Metrics extends ExposedMetrics implements ImportObserver, RpcObserver, PeerObserver {
  private readonly rpcStarted = new Counter({
    name: 'grpc_server_started_total',
    help: 'RPCs that were started, those of the health and reflection services included.',
    labelNames: rpcLabels,
    registers: this.registers,
  });
  private readonly rpcHandled = new Counter({
    name: 'grpc_server_handled_total',
    help: "RPCs that have ended, by code (OK, PermissionDenied, …); only for methods that exist. If gRPC can't read the request, the code is InvalidArgument or ResourceExhausted, never Internal.",
    labelNames: [...rpcLabels, 'grpc_code'],
    registers: this.registers,
  });
  private readonly rpcReceived = new Counter({
    name: 'grpc_server_msg_received_total',
    help: 'Requests that were read.',
    labelNames: rpcLabels,
    registers: this.registers,
  });
  private readonly rpcSent = new Counter({
    name: 'grpc_server_msg_sent_total',
    help: 'Answers that were sent; a failure has none.',
    labelNames: rpcLabels,
    registers: this.registers,
  });
  private readonly rpcSeconds = new Histogram({
    name: 'grpc_server_handling_seconds',
    help: 'How long RPCs took from their turn to begin on, in seconds.',
    labelNames: rpcLabels,
    buckets: secondsBuckets,
    registers: this.registers,
  });
  private readonly imports = new Counter({
    name: 'session_import_imports_total',
    help: 'Calls to ImportSession. kind: user, business, or unknown if the token was not verified; trust: trusted, untrusted, or unknown if the request was not read; result: imported; validated, if it was a preview; replayed, if the same request was carried out before; a reason, CANCELLED or DEADLINE_EXCEEDED.',
    labelNames: ['kind', 'trust', 'result'],
    registers: this.registers,
  });
  private readonly clonedRows = new Counter({
    name: 'session_import_cloned_rows_total',
    help: 'Rows that were copied, without the sessions themselves. Rows of sessions that were imported with a business session have the kind user.',
    labelNames: ['kind', 'relation'],
    registers: this.registers,
  });
  private readonly groupCalls = new Histogram({
    name: 'session_import_group_calls',
    help: 'How many calls shared a group.',
    labelNames: ['kind'],
    buckets: groupSizeBuckets,
    registers: this.registers,
  });
  private readonly groupSeconds = new Histogram({
    name: 'session_import_group_seconds',
    help: 'How long groups took, retries included, in seconds.',
    labelNames: ['kind'],
    buckets: secondsBuckets,
    registers: this.registers,
  });
  private readonly waitSeconds = new Histogram({
    name: 'session_import_queue_wait_seconds',
    help: 'How long calls waited for a group, in seconds. A postponed call is counted again each time.',
    labelNames: ['kind'],
    buckets: secondsBuckets,
    registers: this.registers,
  });
  private readonly retries = new Counter({
    name: 'session_import_retries_total',
    help: 'Transactions that were retried, by what had failed: conflict, lock_wait, unreachable, silent.',
    labelNames: ['failure'],
    registers: this.registers,
  });
  private readonly refusalsLostTotal = new Counter({
    name: 'session_import_refusals_lost_total',
    help: 'Refused imports that could not be recorded. Their callers got an error of the service instead of the refusal.',
    registers: this.registers,
  });

  private readonly connectionsCut = new Counter({
    name: 'session_import_connections_cut_total',
    help: 'Client connections that were cut off, by reason: see docs/security.md, What a peer may cost.',
    labelNames: ['reason'],
    registers: this.registers,
  });

  /** @param isReady whether the service takes calls: told from the start on. */
  constructor(version: string, isReady: () => boolean) {
    super();
    const build = { version, node: process.versions.node };
    this.gauge('build_info', 'Always 1; the labels say which version runs, on which Node.js.', [
      'version',
      'node',
    ])
      .labels(build)
      .set(1);
    const ready = this.gauge('ready', 'Whether the service takes calls: 1 or 0.', [], () => {
      ready.set(isReady() ? 1 : 0);
    });
    // An alert on a rate needs a zero before the first event.
    for (const failure of ['conflict', 'lock_wait', 'unreachable', 'silent'])
      this.retries.inc({ failure }, 0);
    for (const reason of cutOffs) this.connectionsCut.inc({ reason }, 0);
  }

  /** Adds gauges for the parts of the running service. */
  watch(watched: Watched): void {
    const { pools, lines, queue, queueLimit, keySet, certificateExpiry } = watched;
    const connections = this.gauge(
      'database_connections',
      'Connections to the database now. pool: import, look_up, reads, shares, refusals, events, health; state: used, idle.',
      ['pool', 'state'],
      () => {
        for (const { name: pool, use } of pools) {
          const { used, idle } = use();
          connections.set({ pool, state: 'used' }, used);
          connections.set({ pool, state: 'idle' }, idle);
        }
      },
    );
    const limits = this.gauge(
      'database_connections_limit',
      'The most connections that a pool makes.',
      ['pool'],
    );
    for (const { name: pool, limit } of pools) limits.set({ pool }, limit);
    const waiters = this.gauge(
      'database_connection_waiters',
      'Those who wait for a connection of a pool now.',
      ['pool'],
      () => {
        for (const { name: pool, use } of pools) waiters.set({ pool }, use().waiters);
      },
    );
    const inLine = this.gauge(
      'line_calls',
      'Calls that wait for their turn. line: begin for calls of any kind that have not begun; shares for ShareSession, RevokeShareToken and changes of connections; reads for all others but imports, also for those that wait because four answers to their application are unread on the same connection.',
      ['line'],
      () => {
        for (const [line, calls] of Object.entries(lines())) inLine.set({ line }, calls);
      },
    );
    const waiting = this.gauge(
      'queue_calls',
      'Imports that wait now. kind: user, business; lane: locked for sessions that somebody holds, and for imports whose connection, workflow, vendor entity or source has changed meanwhile; large for sessions with very many rows or very large values, and for imports with linked sessions; usual for all others.',
      ['kind', 'lane'],
      () => {
        for (const { kind, lane, calls } of queue()) waiting.set({ kind, lane }, calls);
      },
    );
    this.gauge('queue_limit', 'IMPORT_QUEUE_LIMIT, for each kind.', []).set(queueLimit);
    const age = this.gauge(
      'key_set_age_seconds',
      'How long ago the keys for share tokens were last read, in seconds.',
      [],
      () => {
        age.set(keySet().ageSeconds);
      },
    );
    const keys = this.gauge('key_set_keys', 'Keys for share tokens that are in use.', [], () => {
      keys.set(keySet().keys);
    });
    const streams = this.gauge('event_streams', 'Open streams of events (WatchEvents).', [], () => {
      streams.set(watched.eventStreams());
    });
    this.watchBacklog(watched.backlog);
    if (certificateExpiry()) {
      const expiry = this.gauge(
        'certificate_expiry_timestamp_seconds',
        "When the server's certificate expires, in seconds since 1970; absent without TLS.",
        [],
        () => {
          expiry.set((certificateExpiry()?.getTime() ?? 0) / 1_000);
        },
      );
    }
  }

  private watchBacklog(backlog: Watched['backlog']): void {
    const waiting = this.gauge(
      'erasures_waiting',
      'Sessions that wait for the job that prunes, counted up to 10000 once a minute. step: erase, if their retention time is over; delete, if they are erased and their data are not deleted yet.',
      ['step'],
      () => {
        waiting.reset();
        for (const [step, found] of entriesOf(backlog()?.erasures)) {
          waiting.set({ step }, found.waiting);
        }
      },
    );
    const waitingSince = this.gauge(
      'oldest_erasure_waiting_seconds',
      'How long the first of these sessions has waited, in seconds; 0 if none waits.',
      ['step'],
      () => {
        waitingSince.reset();
        for (const [step, { oldest }] of entriesOf(backlog()?.erasures)) {
          waitingSince.set({ step }, secondsSince(oldest));
        }
      },
    );
    const rows = this.gauge(
      'stored_rows',
      "About how many rows a table has, of those from which prune can delete old rows. The database's own estimate, up to a day old. table: import_refusals, share_tokens, session_events.",
      ['table'],
      () => {
        rows.reset();
        for (const [table, found] of backlog()?.tables ?? []) rows.set({ table }, found.rows);
      },
    );
    const age = this.gauge(
      'oldest_row_age_seconds',
      'How old the oldest row of such a table is, in seconds; 0 if it is empty. Not known for session_events.',
      ['table'],
      () => {
        age.reset();
        for (const [table, { oldest }] of backlog()?.tables ?? []) {
          if (oldest !== undefined) age.set({ table }, secondsSince(oldest));
        }
      },
    );
    this.watchWaiting(
      [
        'events_waiting',
        'Transactions whose events have no numbers yet, counted up to 10000 once a minute.',
      ],
      [
        'oldest_event_waiting_seconds',
        'How long the oldest event has waited for its number, in seconds; 0 if none waits.',
      ],
      () => backlog()?.events,
    );
    this.watchWaiting(
      [
        'withdrawals_waiting',
        'Copies whose applications have not been told yet that the source was withdrawn, counted up to 10000 once a minute.',
      ],
      [
        'oldest_withdrawal_waiting_seconds',
        'How long ago the first of these withdrawals was made, in seconds; 0 if none waits.',
      ],
      () => backlog()?.withdrawals,
    );
  }

  /** Shows how many of something wait, and for how long the oldest has. While that is not known, nothing is shown. */
  private watchWaiting(
    count: readonly [name: string, help: string],
    age: readonly [name: string, help: string],
    look: () => WaitingCount | undefined,
  ): void {
    const waiting = this.gauge(...count, [], () => {
      waiting.remove();
      const found = look();
      if (found) waiting.set(found.waiting);
    });
    const since = this.gauge(...age, [], () => {
      since.remove();
      const found = look();
      if (found) since.set(secondsSince(found.oldest));
    });
  }

  rpcBegun(labels: RpcLabels): void {
    this.rpcStarted.inc({ ...labels });
  }

  messageReceived(labels: RpcLabels): void {
    this.rpcReceived.inc({ ...labels });
  }

  messageSent(labels: RpcLabels): void {
    this.rpcSent.inc({ ...labels });
  }

  rpcEnded(labels: RpcLabels, code: status, seconds: number): void {
    this.rpcHandled.inc({ ...labels, grpc_code: codeName(code) });
    this.rpcSeconds.observe({ ...labels }, seconds);
  }

  connectionCut(reason: CutOff): void {
    this.connectionsCut.inc({ reason });
  }

  waited(kind: SessionKind, seconds: number): void {
    this.waitSeconds.observe({ kind }, seconds);
  }

  groupEnded(
    kind: SessionKind,
    { calls, seconds }: { readonly calls: number; readonly seconds: number },
  ): void {
    this.groupCalls.observe({ kind }, calls);
    this.groupSeconds.observe({ kind }, seconds);
  }

  retried(failure: DatabaseFailure): void {
    this.retries.inc({ failure: failure.replace(' ', '_') });
  }

  refusalsLost(refusals: number): void {
    this.refusalsLostTotal.inc(refusals);
  }

  callEnded({ kind, trusted, result, clonedRows, linkedRows }: ImportEnding): void {
    const trust = trusted === undefined ? 'unknown' : trusted ? 'trusted' : 'untrusted';
    this.imports.inc({ kind: kind ?? 'unknown', trust, result });
    if (kind) this.countRows(kind, clonedRows);
    this.countRows('user', linkedRows);
  }

  private countRows(kind: SessionKind, cloned: readonly ClonedRows[]): void {
    for (const { relation, rows } of cloned) {
      if (rows > 0) this.clonedRows.inc({ kind, relation }, rows);
    }
  }

  private gauge<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    collect?: () => void,
  ): Gauge<Label> {
    return new Gauge({
      name: `session_import_${name}`,
      help,
      labelNames,
      registers: this.registers,
      ...(collect ? { collect } : {}),
    });
  }
}

function entriesOf(
  erasures: Backlog['erasures'] | undefined,
): readonly (readonly [string, WaitingCount])[] {
  return Object.entries(erasures ?? {});
}

/** At least 0, even if the clocks differ. */
function secondsSince(moment: Date | null): number {
  return moment ? Math.max(0, Date.now() - moment.getTime()) / 1_000 : 0;
}

/** A code as the metrics of servers in Go spell it, which dashboards expect: `PermissionDenied`. */
function codeName(code: status): string {
  if (code === status.OK) return 'OK';
  if (code === status.CANCELLED) return 'Canceled';
  return status[code]
    .toLowerCase()
    .replace(/(?:^|_)(\w)/g, (_, letter: string) => letter.toUpperCase());
}
