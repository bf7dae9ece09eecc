import { setTimeout as sleep } from 'node:timers/promises';
import { CallAbandoned, ServiceError } from '../model/problems';
import type { SessionKind } from '../model/session';
import type { Locking } from '../store/sessions/lock';
import { beginWaiting, inGroupSpan } from '../telemetry/spans';
import { requireRoom } from '../turns/fair-line';
import { CallerMix } from '../turns/caller-mix';
import { unlimited, type Outcome, type RowLimits } from './group';
import { Lane, type QueuedImport, type Waiter } from './lane';
import { LockLane } from './lock-lane';
import type { ImportObserver } from './observer';
import type { ImportRequest, ImportResult } from './request';

/** How much runs and waits at once, for each kind of session. */
export interface QueueOptions {
  /** Groups that run at the same time, besides those for large and for locked sessions. */
  readonly workers: number;
  /** Calls in a group, at most. */
  readonly groupSize: number;
  /** Rows that a group copies, at most. A session with more than half of that is a large one. */
  readonly groupRows: number;
  /** Calls that wait, at most; more are refused. */
  readonly limit: number;
}

/** How many calls of a kind wait in one of its lanes. */
export interface QueueLength {
  readonly kind: SessionKind;
  readonly lane: 'usual' | 'large' | 'locked';
  readonly calls: number;
}

/** How many large sessions are imported at the same time, each in its own group, in addition to the other groups. */
const workersForLargeSessions = 1;

/** How long the worker for large sessions rests at most after one of them, in milliseconds. */
const longestRest = 1_000;

/**
 * How many locked sessions are waited for at the same time, and how many of them for one application. Each
 * takes a connection while it waits.
 */
const workersForLockedSessions = 4;
const lockedSessionsOfApplication = 2;

/**
 * How long a call waits for a locked session, in milliseconds from when it first found it locked. After
 * that, its next turn is the last: if the session is still locked then, the call fails.
 */
const patience = 5_000;

/** How many groups of one kind may run at the same time. */
export function groupsAtOnce({ workers }: QueueOptions): number {
  return workers + workersForLargeSessions + workersForLockedSessions;
}

/** Runs a group, and returns the outcome of every call in the order of the calls. Never rejects. */
export type RunGroup = (
  kind: SessionKind,
  requests: readonly ImportRequest[],
  limits: RowLimits,
  locking: Locking,
) => Promise<readonly Outcome[]>;

/**
 * Turns concurrent calls into groups. A worker that becomes free takes all waiting calls, up to the
 * size of a group, and never waits for more. So an idle service imports a single call at once. A
 * busy service has large groups, because calls gather while the groups before them run.
 *
 * ```text
 *   submit → waiting → (a worker is free) → running → settled
 *              │  ↑                            │
 *              │  └─────────── postponed ←─────┤ its group has no room for so many rows
 *              │                    ↑          ↓
 *              │                    └─────── locked: somebody holds its session, and it waits for the lock;
 *              │                             or overtaken: what it rests on has changed
 *              ├─ given up by its caller: removed, nothing is written
 *              └─ refused: too many wait, and its application has most of them
 * ```
 *
 * Applications take turns, so that one with many calls does not hold up the others. Each kind has
 * lanes of its own, since a group never mixes them.
 */
export class ImportQueue {
  private readonly kinds: Readonly<Record<SessionKind, KindQueue>>;

  constructor(run: RunGroup, options: QueueOptions, observer: ImportObserver) {
    const mix = new CallerMix();
    const queue = (kind: SessionKind) => new KindQueue(kind, run, options, observer, mix);
    this.kinds = { user: queue('user'), business: queue('business') };
  }

  /**
   * Imports one session, or only validates the request, in a group with other waiting calls.
   *
   * @returns the result of the import.
   * @param waiter its signal removes the call while it waits. Once the group has started, the
   * signal has no effect.
   * @throws ServiceError with what went wrong; OVERLOADED if too many calls wait already.
   * @throws CallAbandoned if the signal came before the import began.
   */
  async submit(request: ImportRequest, waiter: Waiter): Promise<ImportResult> {
    return this.kinds[request.kind].submit(request, waiter);
  }

  /**
   * Whether the usual groups of a kind do not end: all of its workers are busy, and none has had an answer
   * of the database for so many milliseconds.
   */
  isStuck(milliseconds: number): boolean {
    return Object.values(this.kinds).some((queue) => queue.isStuck(milliseconds));
  }

  /** How many calls wait, by kind and lane. */
  lengths(): QueueLength[] {
    return Object.values(this.kinds).flatMap((queue) => queue.lengths());
  }
}

/** The weight of one session in the moving average `typicalRows`. */
const smoothing = 1 / 64;

/**
 * The calls of one kind, in three lanes. The large lane has the large sessions, and the calls that
 * include linked sessions. The locked lane has the calls whose sessions were locked when a group came to
 * them: it alone waits for locks of sessions. It also has the calls that were overtaken: there they do not hold
 * up others again. The usual lane has all other calls.
 */
class KindQueue {
  private readonly usual: Lane;
  private readonly large: Lane;
  private readonly locked: LockLane;
  private readonly limits: RowLimits;
  /** How many rows a session is assumed to have until they are counted: a moving average. */
  private typicalRows = 0;

  constructor(
    private readonly kind: SessionKind,
    private readonly run: RunGroup,
    private readonly options: QueueOptions,
    private readonly observer: ImportObserver,
    /** Of the calls of all kinds. */
    private readonly mix: CallerMix,
  ) {
    this.limits = { group: options.groupRows, session: options.groupRows / 2 };
    this.usual = new Lane((calls) => this.runUsual(calls), {
      ...options,
      rowsOf: ({ rows }) => rows ?? this.typicalRows,
    });
    this.large = new Lane((calls) => this.runLarge(calls), {
      workers: workersForLargeSessions,
      groupSize: 1,
      groupRows: Number.POSITIVE_INFINITY,
      rowsOf: ({ rows }) => rows ?? 0,
    });
    this.locked = new LockLane((calls) => this.runLocked(calls), {
      workers: workersForLockedSessions,
      workersOfApplication: lockedSessionsOfApplication,
      groupSize: options.groupSize,
    });
  }

  private get lanes(): readonly (Lane | LockLane)[] {
    return [this.usual, this.large, this.locked];
  }

  lengths(): QueueLength[] {
    return [
      { kind: this.kind, lane: 'usual', calls: this.usual.length },
      { kind: this.kind, lane: 'large', calls: this.large.length },
      { kind: this.kind, lane: 'locked', calls: this.locked.length },
    ];
  }

  isStuck(milliseconds: number): boolean {
    return this.usual.isStuck(milliseconds);
  }

  async submit(request: ImportRequest, waiter: Waiter): Promise<ImportResult> {
    const { signal } = waiter;
    if (signal.aborted) throw new CallAbandoned();
    const lines = this.lanes.map(({ line }) => line);
    requireRoom(lines, this.options.limit, request.applicationId, ({ reject }, error) => {
      reject(error);
    });
    this.mix.add(request.applicationId);
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        if (this.lanes.some((lane) => lane.remove(call))) reject(new CallAbandoned());
      };
      const ending = <T>(end: (value: T) => void) => {
        return (value: T): void => {
          signal.removeEventListener('abort', giveUp);
          end(value);
        };
      };
      signal.addEventListener('abort', giveUp, { once: true });
      const call: QueuedImport = {
        request,
        waiter,
        waiting: beginWaiting(),
        waitedMs: 0,
        rows: undefined,
        lockedSince: undefined,
        resolve: ending(resolve),
        reject: ending(reject),
      };
      // The number of linked rows is known only when its group runs, and the sessions are of two
      // kinds. So the call gets a group of its own.
      const alone = request.linkedWorkflowId !== null;
      (alone ? this.large : this.usual).add(call);
    });
  }

  private async runUsual(calls: readonly QueuedImport[]): Promise<boolean> {
    const outcomes = await this.runGroup(calls, this.limits, 'skip');
    this.learn(outcomes);
    this.putOff(calls, outcomes);
    return outcomes.some(isAnswered);
  }

  /**
   * Imports one large session. If calls of different applications have come within the last second, the worker then
   * rests for as long as that took: MySQL writes each transaction into its binary log in one piece, and all other commits
   * wait (MySQL 8.4 manual, section 7.4.4). Without the rest, some of them would have to wait for two large ones.
   */
  private async runLarge(calls: readonly QueuedImport[]): Promise<boolean> {
    const startedAt = performance.now();
    const outcomes = await this.runGroup(calls, unlimited, 'skip');
    this.putOff(calls, outcomes);
    const took = performance.now() - startedAt;
    if (
      outcomes.some(({ type }) => type === 'imported') &&
      calls.some(isLarge) &&
      this.mix.isMixed
    ) {
      await sleep(Math.min(took, longestRest), undefined, { ref: false });
    }
    return outcomes.some(isAnswered);
  }

  /** Waits for the lock of the session that all the calls want. A large one then goes to the large lane. */
  private async runLocked(calls: readonly QueuedImport[]): Promise<void> {
    const locking = calls.every((call) => this.isLate(call)) ? 'skip' : 'wait';
    this.putOff(calls, await this.runGroup(calls, this.limits, locking));
  }

  private isLate({ lockedSince }: QueuedImport): boolean {
    return lockedSince !== undefined && performance.now() - lockedSince >= patience;
  }

  /** Puts calls that their group has not settled into the lane where they belong. */
  private putOff(calls: readonly QueuedImport[], outcomes: readonly Outcome[]): void {
    const again: QueuedImport[] = [];
    const apart: QueuedImport[] = [];
    for (const [index, call] of calls.entries()) {
      const outcome = outcomes[index];
      if (!outcome || !isPutOff(outcome)) continue;
      const now = performance.now();
      call.waiting = { ...call.waiting, since: now };
      if (call.waiter.signal.aborted) {
        call.reject(new CallAbandoned());
      } else if (outcome.type !== 'postponed') {
        if (this.isLate(call)) call.reject(new ServiceError({ reason: 'CONFLICT' }));
        else apart.push(call);
        call.lockedSince ??= now;
      } else {
        call.rows = outcome.rows;
        if (call.rows > this.limits.session) this.large.add(call);
        else again.push(call);
      }
    }
    this.usual.putBack(again);
    this.locked.add(apart);
  }

  /** Runs a group, and answers the calls that it has settled. */
  private async runGroup(
    calls: readonly QueuedImport[],
    limits: RowLimits,
    locking: Locking,
  ): Promise<readonly Outcome[]> {
    const { kind, observer } = this;
    const startedAt = performance.now();
    for (const call of calls) {
      const waitedMs = startedAt - call.waiting.since;
      call.waitedMs += waitedMs;
      observer.waited(kind, waitedMs / 1_000);
      call.waiter.begun?.({ calls: calls.length, waitedMs: call.waitedMs });
    }
    const requests = calls.map(({ request }) => request);
    const outcomes = await inGroupSpan(
      { 'session_import.kind': kind, 'session_import.calls': calls.length },
      calls.map(({ waiting }) => waiting),
      () => this.run(kind, requests, limits, locking),
    );
    const seconds = (performance.now() - startedAt) / 1_000;
    observer.groupEnded(kind, { calls: calls.length, seconds });
    for (const [index, call] of calls.entries()) {
      const outcome = outcomes[index];
      if (outcome) settle(call, outcome);
      else call.reject(new ServiceError({ reason: 'INTERNAL' }));
    }
    return outcomes;
  }

  /** Updates the average number of rows of a session, so that groups are rarely too large. */
  private learn(outcomes: readonly Outcome[]): void {
    for (const outcome of outcomes) {
      const rows = rowsOf(outcome);
      if (rows === undefined || rows > this.limits.session) continue;
      this.typicalRows += (rows - this.typicalRows) * smoothing;
    }
  }
}

/** Whether a group has found that the session of a call is large. A call that includes linked sessions may be small. */
function isLarge({ rows }: QueuedImport): boolean {
  return rows !== undefined;
}

/** Whether the result of a call came from the database. */
function isAnswered(outcome: Outcome): boolean {
  return outcome.type !== 'failed' || outcome.error.problem.reason !== 'DATABASE_UNAVAILABLE';
}

/** Answers a call, unless it was put off. */
function settle(call: QueuedImport, outcome: Outcome): void {
  switch (outcome.type) {
    case 'imported':
    case 'validated':
    case 'replayed':
      call.resolve(outcome);
      return;
    case 'failed':
      call.reject(outcome.error);
      return;
    case 'postponed':
    case 'locked':
    case 'overtaken':
      return;
  }
}

/** Whether a group has not settled a call, so that the call waits for another group. */
function isPutOff(
  outcome: Outcome,
): outcome is Extract<Outcome, { type: 'postponed' | 'locked' | 'overtaken' }> {
  const { type } = outcome;
  return type === 'postponed' || type === 'locked' || type === 'overtaken';
}

function rowsOf(outcome: Outcome): number | undefined {
  switch (outcome.type) {
    case 'imported':
    case 'validated':
      return outcome.session.clonedRows.reduce((sum, { rows }) => sum + rows, 0);
    case 'postponed':
      return outcome.rows;
    case 'locked':
    case 'overtaken':
    case 'replayed':
    case 'failed':
      return undefined;
  }
}
