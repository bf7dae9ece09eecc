import type { ApplicationId } from '../model/ids';
import type { WaitSpan } from '../telemetry/spans';
import { FairLine } from '../turns/fair-line';
import { CallerMix, mixedFor } from '../turns/caller-mix';
import type { ImportRequest, ImportResult } from './request';

/** The caller that waits for an import. */
export interface Waiter {
  /** Fires when the import is given up. */
  readonly signal: AbortSignal;
  /**
   * Called when the import's group starts: with the group's size and the time the import waited.
   */
  readonly begun?: (group: { readonly calls: number; readonly waitedMs: number }) => void;
}

/** A call that waits in a lane, or whose group runs. */
export interface QueuedImport {
  readonly request: ImportRequest;
  readonly waiter: Waiter;
  /** Its trace context, and the time since when it waits for its next group. */
  waiting: WaitSpan;
  /** How long it has waited for the groups before, in milliseconds. */
  waitedMs: number;
  /** The rows of its session; undefined until a group has counted them. */
  rows: number | undefined;
  /** When it was first `locked` or `overtaken` in a group, by `performance.now()`; undefined: never. */
  lockedSince: number | undefined;
  readonly resolve: (result: ImportResult) => void;
  readonly reject: (error: Error) => void;
}

/** While others wait as well, an application gets at most an eighth of a group. */
const placesDivisor = 8;

/** How long a group waits for more calls, as a part of the time that the group before it took. */
const gatheredShare = 1 / 8;

/** A longer group counts as this long, so that one that waited for a lock does not make the next ones wait. */
const longestGroupMs = 40;

/** How large groups may be, and how many run at the same time. */
export interface LaneOptions {
  readonly workers: number;
  readonly groupSize: number;
  readonly groupRows: number;
  /** How many rows a call's session is assumed to have. */
  readonly rowsOf: (call: QueuedImport) => number;
}

/** A queue of calls with workers of its own. A free worker takes as many calls as a group holds. */
export class Lane {
  /** The calls that wait. */
  readonly line = new FairLine<ApplicationId, QueuedImport>();
  /** The applications of each group that runs. */
  private readonly running = new Set<ReadonlySet<ApplicationId>>();
  private scheduled = false;
  /** When a group last ended with the database's answer, or began on its own, by `performance.now()`. */
  private movedAt = performance.now();
  /** How long the last group took, at most {@link longestGroupMs}. */
  private groupTakesMs = 0;
  /** Looks again whether a worker is still to be kept for others. */
  private timer: NodeJS.Timeout | undefined;
  private readonly mix = new CallerMix();

  constructor(
    /** Runs a group to its end, and tells whether the database has answered. Never rejects. */
    private readonly run: (calls: readonly QueuedImport[]) => Promise<boolean>,
    private readonly options: LaneOptions,
  ) {}

  get length(): number {
    return this.line.length;
  }

  /** Whether every worker is busy, and the database has let no group end for so many milliseconds. */
  isStuck(milliseconds: number): boolean {
    const { running, options, movedAt } = this;
    return running.size === options.workers && performance.now() - movedAt > milliseconds;
  }

  add(call: QueuedImport): void {
    const { applicationId } = call.request;
    this.mix.add(applicationId);
    this.line.append(applicationId, call);
    this.schedule();
  }

  /** Puts postponed calls back at the head of the queue, in their order. */
  putBack(calls: readonly QueuedImport[]): void {
    for (const call of calls.toReversed()) this.line.prepend(call.request.applicationId, call);
    this.schedule();
  }

  /** @returns whether the call was still waiting. */
  remove(call: QueuedImport): boolean {
    return this.line.remove(call.request.applicationId, call);
  }

  /**
   * Starts groups at the end of this event loop turn, so that calls that arrive together share one. If another
   * group runs, it waits a little longer: see {@link timeToGather}.
   */
  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    const start = (): void => {
      this.scheduled = false;
      this.startGroups();
    };
    const milliseconds = this.timeToGather();
    if (milliseconds > 0) setTimeout(start, milliseconds);
    else setImmediate(start);
  }

  /**
   * How long a group that could start waits for more calls, in milliseconds: a small part of the time that a group
   * takes. The callers of a group that has just ended will soon call again, and a group of four costs far less than
   * four groups of one. While no other group runs, nothing waits.
   */
  private timeToGather(): number {
    const { running, options, line } = this;
    const isAlone = running.size === 0;
    const isNext = running.size < options.workers;
    if (isAlone || !isNext || line.length >= options.groupSize) return 0;
    return this.groupTakesMs * gatheredShare;
  }

  private startGroups(): void {
    while (this.line.length > 0 && this.running.size < this.options.workers) {
      if (this.isKeptForOthers()) {
        this.startGroupsLater();
        return;
      }
      const calls = this.takeGroup();
      const applications = new Set(calls.map(({ request }) => request.applicationId));
      if (this.running.size === 0) this.movedAt = performance.now();
      this.running.add(applications);
      const startedAt = performance.now();
      void this.run(calls).then((answered) => {
        const endedAt = performance.now();
        if (answered) this.movedAt = endedAt;
        this.groupTakesMs = Math.min(endedAt - startedAt, longestGroupMs);
        this.running.delete(applications);
        if (this.timeToGather() > 0) this.schedule();
        else this.startGroups();
      });
    }
  }

  private startGroupsLater(): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.startGroups();
    }, mixedFor);
  }

  /**
   * Whether the last free worker is kept for others. While calls of others come now and then, an
   * application that has a worker already does not get the last one: the others would have to wait for its
   * groups to end.
   */
  private isKeptForOthers(): boolean {
    if (this.running.size === 0 || this.running.size < this.options.workers - 1) return false;
    if (!this.mix.isMixed) return false;
    const [first, other] = this.line.lengths();
    if (!first || other) return false;
    return [...this.running].some((applications) => applications.has(first[0]));
  }

  private takeGroup(): QueuedImport[] {
    const group: QueuedImport[] = [];
    const places = this.placesOfApplication();
    let rows = 0;
    for (let next = this.line.peek(); next; next = this.line.peek()) {
      rows += this.options.rowsOf(next);
      const full = group.length === this.options.groupSize || rows > this.options.groupRows;
      if (full && group.length > 0) break;
      const { applicationId } = next.request;
      const taken = group.filter(({ request }) => request.applicationId === applicationId);
      if (taken.length >= places) break;
      this.line.shift();
      group.push(next);
    }
    return group;
  }

  /**
   * How many places of the next group an application may have. While others wait as well, it does not get
   * all of them: the others would have to wait for its many imports to end.
   */
  private placesOfApplication(): number {
    const { groupSize } = this.options;
    const [, other] = this.line.lengths();
    return other ? Math.ceil(groupSize / placesDivisor) : groupSize;
  }
}
