import type { ApplicationId, SessionId } from '../model/ids';
import { FairLine } from '../turns/fair-line';
import type { QueuedImport } from './lane';

/** How much of a {@link LockLane} runs at the same time. */
export interface LockLaneOptions {
  readonly workers: number;
  /** The most workers that the calls of one application have at a time. */
  readonly workersOfApplication: number;
  readonly groupSize: number;
}

/**
 * The calls whose sessions somebody else holds. They wait here for the locks, so that the other lanes need
 * not wait. Each worker waits for one session, on behalf of all calls that want it. An application does not
 * get all workers, however many locked sessions it asks for. Calls that were overtaken come here as well.
 */
export class LockLane {
  /** The calls that wait for their turn. */
  readonly line = new FairLine<ApplicationId, QueuedImport>();
  /** The sessions that are waited for, each with the application that counts for it. */
  private readonly waitedFor = new Map<SessionId, ApplicationId>();

  constructor(
    /** Runs a group to its end, and never rejects. */
    private readonly run: (calls: readonly QueuedImport[]) => Promise<void>,
    private readonly options: LockLaneOptions,
  ) {}

  get length(): number {
    return this.line.length;
  }

  add(calls: readonly QueuedImport[]): void {
    for (const call of calls) this.line.append(call.request.applicationId, call);
    this.startGroups();
  }

  /** @returns whether the call was still waiting for its turn. */
  remove(call: QueuedImport): boolean {
    return this.line.remove(call.request.applicationId, call);
  }

  private startGroups(): void {
    while (this.waitedFor.size < this.options.workers) {
      const first = this.line.take((call) => this.mayStart(call));
      if (!first) return;
      const { sourceSessionId, applicationId } = first.request;
      this.waitedFor.set(sourceSessionId, applicationId);
      void this.run([first, ...this.takeMates(first)]).finally(() => {
        this.waitedFor.delete(sourceSessionId);
        this.startGroups();
      });
    }
  }

  private mayStart({ request }: QueuedImport): boolean {
    if (this.waitedFor.has(request.sourceSessionId)) return false;
    const running = [...this.waitedFor.values()].filter((id) => id === request.applicationId);
    return running.length < this.options.workersOfApplication;
  }

  /** The other calls that want the same session. A call with linked sessions is alone in its group. */
  private takeMates(first: QueuedImport): QueuedImport[] {
    const mates: QueuedImport[] = [];
    if (first.request.linkedWorkflowId !== null) return mates;
    while (mates.length < this.options.groupSize - 1) {
      const mate = this.line.take(
        ({ request }) =>
          request.sourceSessionId === first.request.sourceSessionId &&
          request.linkedWorkflowId === null,
      );
      if (!mate) break;
      mates.push(mate);
    }
    return mates;
  }
}
