import { CallAbandoned, ServiceError } from '../errors';
import type { Outcome } from './import-group';
import type { ImportedSession, ImportRequest, SessionKind } from './session';

/** How much runs and waits at once, for each kind of session. */
export interface QueueOptions {
  /** Groups that run at the same time. */
  readonly workers: number;
  /** Calls in a group, at most. */
  readonly groupSize: number;
  /** Calls that wait, at most; more are refused. */
  readonly limit: number;
}

/** What runs a group: settles every call, in order, and never rejects. */
export type RunGroup = (
  kind: SessionKind,
  requests: readonly ImportRequest[],
) => Promise<readonly Outcome[]>;

interface Waiting {
  readonly request: ImportRequest;
  readonly resolve: (session: ImportedSession) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Turns concurrent calls into groups. A worker that becomes free takes all that waits, up to a
 * group's size, and waits for nothing: an idle service imports a single call at once, and a busy one
 * has large groups because calls gather while the groups before them run.
 *
 * ```text
 *   submit → waiting → (a worker is free) → running → settled
 *               └─ given up by its caller: removed, nothing is written
 * ```
 *
 * The kinds have a lane each: a group never mixes them.
 */
export class ImportQueue {
  private readonly lanes: Readonly<Record<SessionKind, Lane>>;

  constructor(run: RunGroup, options: QueueOptions) {
    const lane = (kind: SessionKind): Lane => new Lane((requests) => run(kind, requests), options);
    this.lanes = { user: lane('user'), business: lane('business') };
  }

  /**
   * Imports one session, in a group with whoever is waiting too.
   *
   * @param signal gives the call up while it waits; once its group has started, it has no effect.
   * @throws ServiceError with what went wrong; OVERLOADED if too many calls wait already.
   * @throws CallAbandoned if the signal came before the import began.
   */
  async submit(request: ImportRequest, signal: AbortSignal): Promise<ImportedSession> {
    return this.lanes[request.kind].submit(request, signal);
  }
}

class Lane {
  private readonly waiting = new Set<Waiting>();
  private running = 0;
  private scheduled = false;

  constructor(
    private readonly run: (requests: readonly ImportRequest[]) => Promise<readonly Outcome[]>,
    private readonly options: QueueOptions,
  ) {}

  submit(request: ImportRequest, signal: AbortSignal): Promise<ImportedSession> {
    if (signal.aborted) return Promise.reject(new CallAbandoned());
    if (this.waiting.size >= this.options.limit) {
      return Promise.reject(new ServiceError({ reason: 'OVERLOADED' }));
    }
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        if (this.waiting.delete(call)) reject(new CallAbandoned());
      };
      const call: Waiting = {
        request,
        resolve: (session) => {
          signal.removeEventListener('abort', giveUp);
          resolve(session);
        },
        reject: (error) => {
          signal.removeEventListener('abort', giveUp);
          reject(error);
        },
      };
      signal.addEventListener('abort', giveUp, { once: true });
      this.waiting.add(call);
      this.schedule();
    });
  }

  /** Starts groups at the end of this turn of the event loop: calls that arrive together, go together. */
  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      this.startGroups();
    });
  }

  private startGroups(): void {
    while (this.waiting.size > 0 && this.running < this.options.workers) {
      const group: Waiting[] = [];
      for (const call of this.waiting) {
        if (group.length === this.options.groupSize) break;
        this.waiting.delete(call);
        group.push(call);
      }
      this.running++;
      void this.runGroup(group).finally(() => {
        this.running--;
        this.startGroups();
      });
    }
  }

  private async runGroup(group: readonly Waiting[]): Promise<void> {
    const outcomes = await this.run(group.map(({ request }) => request));
    for (const [index, call] of group.entries()) {
      const outcome = outcomes[index];
      if (outcome?.type === 'imported') call.resolve(outcome.session);
      else call.reject(outcome?.error ?? new ServiceError({ reason: 'INTERNAL' }));
    }
  }
}
