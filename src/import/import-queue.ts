import { CallAbandoned, ServiceError } from '../errors';
import type { Outcome } from './import-group';
import { Lane, type Call } from './lane';
import type { ImportedSession, ImportRequest, SessionKind } from './session';

/** How much runs and waits at once, for each kind of session. */
export interface QueueOptions {
  /** Groups that run at the same time, besides one for large sessions. */
  readonly workers: number;
  /** Calls in a group, at most. */
  readonly groupSize: number;
  /** Rows that a group copies, at most; a session that has more goes alone. */
  readonly groupRows: number;
  /** Calls that wait, at most; more are refused. */
  readonly limit: number;
}

/** A large session takes long, but not a worker that the others need. */
const workersForLargeSessions = 1;

/** How many groups of one kind may run at the same time. */
export function groupsAtOnce({ workers }: QueueOptions): number {
  return workers + workersForLargeSessions;
}

/**
 * What runs a group: settles every call, in order, and never rejects. Postpones calls whose sessions
 * have more rows, all together, than the limit.
 */
export type RunGroup = (
  kind: SessionKind,
  requests: readonly ImportRequest[],
  rowLimit: number,
) => Promise<readonly Outcome[]>;

/**
 * Turns concurrent calls into groups. A worker that becomes free takes all that waits, up to a
 * group's size, and waits for nothing: an idle service imports a single call at once, and a busy one
 * has large groups because calls gather while the groups before them run.
 *
 * ```text
 *   submit → waiting → (a worker is free) → running → settled
 *              │  ↑                            │
 *              │  └── in the lane for large ←──┘ its session is too large for its group
 *              ├─ given up by its caller: removed, nothing is written
 *              └─ refused: too many wait, and its application has most of them
 * ```
 *
 * Applications take turns, so that one with many calls does not hold up the others. Each kind has
 * lanes of its own, since a group never mixes them.
 */
export class ImportQueue {
  private readonly kinds: Readonly<Record<SessionKind, KindQueue>>;

  constructor(run: RunGroup, options: QueueOptions) {
    const queue = (kind: SessionKind) =>
      new KindQueue((requests, rowLimit) => run(kind, requests, rowLimit), options);
    this.kinds = { user: queue('user'), business: queue('business') };
  }

  /**
   * Imports one session, in a group with whoever is waiting too.
   *
   * @param signal gives the call up while it waits; once its group has started, it has no effect.
   * @throws ServiceError with what went wrong; OVERLOADED if too many calls wait already.
   * @throws CallAbandoned if the signal came before the import began.
   */
  async submit(request: ImportRequest, signal: AbortSignal): Promise<ImportedSession> {
    return this.kinds[request.kind].submit(request, signal);
  }
}

/** How much each session changes what is known of their sizes. */
const smoothing = 1 / 64;

/** The calls of one kind. */
class KindQueue {
  private readonly usual: Lane;
  private readonly large: Lane;
  /** What a session has of which nothing is known. */
  private typicalRows = 0;

  constructor(
    private readonly run: (
      requests: readonly ImportRequest[],
      rowLimit: number,
    ) => Promise<readonly Outcome[]>,
    private readonly options: QueueOptions,
  ) {
    this.usual = new Lane(
      async (calls) => {
        this.learn(await this.runGroup(calls, options.groupRows));
      },
      {
        ...options,
        rowsOf: () => this.typicalRows,
      },
    );
    this.large = new Lane(
      async (calls) => {
        await this.runGroup(calls, Number.POSITIVE_INFINITY);
      },
      {
        ...options,
        workers: workersForLargeSessions,
        rowsOf: ({ rows }) => rows,
      },
    );
  }

  async submit(request: ImportRequest, signal: AbortSignal): Promise<ImportedSession> {
    if (signal.aborted) throw new CallAbandoned();
    if (this.usual.length + this.large.length >= this.options.limit) {
      const overloaded = new ServiceError({ reason: 'OVERLOADED' });
      const other = this.usual.makeRoomFor(request.applicationId);
      if (!other) throw overloaded;
      other.reject(overloaded);
    }
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        if (this.usual.remove(call) || this.large.remove(call)) reject(new CallAbandoned());
      };
      const ending = <T>(end: (value: T) => void) => {
        return (value: T): void => {
          signal.removeEventListener('abort', giveUp);
          end(value);
        };
      };
      signal.addEventListener('abort', giveUp, { once: true });
      const call = { request, signal, rows: 0, resolve: ending(resolve), reject: ending(reject) };
      this.usual.add(call);
    });
  }

  private async runGroup(calls: readonly Call[], rowLimit: number): Promise<readonly Outcome[]> {
    const outcomes = await this.run(
      calls.map(({ request }) => request),
      rowLimit,
    );
    for (const [index, call] of calls.entries()) {
      const outcome = outcomes[index];
      if (outcome?.type === 'imported') call.resolve(outcome.session);
      else if (outcome?.type === 'postponed') this.postpone(call, outcome.rows);
      else call.reject(outcome?.error ?? new ServiceError({ reason: 'INTERNAL' }));
    }
    return outcomes;
  }

  private postpone(call: Call, rows: number): void {
    if (call.signal.aborted) {
      call.reject(new CallAbandoned());
      return;
    }
    call.rows = rows;
    this.large.add(call);
  }

  /** Remembers how many rows sessions had of late, so that groups rarely turn out too large. */
  private learn(outcomes: readonly Outcome[]): void {
    for (const outcome of outcomes) {
      if (outcome.type !== 'imported') continue;
      const rows = outcome.session.clonedRows.reduce((sum, relation) => sum + relation.rows, 0);
      this.typicalRows += (rows - this.typicalRows) * smoothing;
    }
  }
}
