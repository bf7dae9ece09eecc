import type { Database } from '../db/connection';
import { newId, toBinary, type ApplicationId, type SessionId } from '../model/ids';
import { write, type Binding } from '../db/query';
import { retrying, type Tries } from '../db/retry';
import type { Reason } from '../model/problems';
import type { ImportObserver } from './observer';
import type { Actor, SessionKind, TokenTrace } from '../model/session';
import type { Logger } from '../telemetry/log';
import { Reminder } from '../telemetry/log-throttle';

/** An attempt to import a session, and why it was refused. */
export interface Refusal {
  /** Who wanted to import. */
  readonly applicationId: ApplicationId;
  readonly actor: Actor;
  readonly reason: Reason;
  /** What the share token said; undefined unless it was genuine: anybody can write a forged one. */
  readonly token: RefusedToken | undefined;
}

/** What a genuine share token says, as far as it is recorded. */
interface RefusedToken {
  readonly kind: SessionKind;
  readonly sessionId: SessionId;
  readonly fromApplicationId: ApplicationId;
  readonly trace: TokenTrace;
}

/**
 * Reasons that decide nothing about an attempt: the same one may succeed a moment later. There can be
 * very many, and most when the service can least do with more to write.
 */
const undecided: ReadonlySet<Reason> = new Set<Reason>([
  'RATE_LIMITED',
  'OVERLOADED',
  'CONFLICT',
  'DATABASE_UNAVAILABLE',
  'INTERNAL',
]);

/** Whether a failure says that an import is refused, rather than that it could not be tried. */
export function isRefusal(reason: Reason): boolean {
  return !undecided.has(reason);
}

/** The caller waits meanwhile, so less patience than usual. */
const triesOfRecord: Tries = { conflict: 3, unreachable: 2, 'lock wait': 1, other: 1 };

/** How many refusals one statement records at most: it must stay below `max_allowed_packet`. */
const largestBatch = 500;

interface Waiting {
  readonly row: readonly Binding[];
  readonly done: () => void;
}

/**
 * Records refused imports. One statement runs at a time, and all that come meanwhile wait for the next:
 * a storm of refused calls takes one connection, and few commits.
 */
export class Refusals {
  private waiting: Waiting[] = [];
  private writing = false;
  private readonly reminder = new Reminder();

  constructor(
    private readonly db: Database,
    private readonly observer: ImportObserver,
    private readonly log: Logger,
  ) {}

  /**
   * Records a refusal.
   *
   * @returns once it is committed; or could not be written, which the log says, since the caller is
   * refused all the same. Never rejects.
   */
  record(refusal: Refusal): Promise<void> {
    return new Promise((done) => {
      this.waiting.push({ row: rowOf(refusal), done });
      if (!this.writing) void this.writeAll();
    });
  }

  private async writeAll(): Promise<void> {
    this.writing = true;
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0, largestBatch);
      await this.write(batch.map(({ row }) => row));
      for (const { done } of batch) done();
    }
    this.writing = false;
  }

  private async write(rows: readonly (readonly Binding[])[]): Promise<void> {
    // IGNORE, for a try whose answer got lost: the next one finds its own rows.
    const insert = () =>
      write(
        this.db,
        `INSERT IGNORE INTO import_refusals
           (application_id, created_at, id, reason, session_kind, source_session_id,
            source_application_id, token_digest, token_key_id, token_id, api_key_id, gateway)
         VALUES ?`,
        [rows],
      );
    try {
      await retrying(insert, triesOfRecord, (failure) => {
        this.observer.retried(failure);
      });
      this.reminder.reset();
    } catch (err) {
      if (!this.reminder.isDue()) return;
      this.log.error({ refusals: rows.length, err }, 'could not record refused imports');
    }
  }
}

function rowOf({ applicationId, actor, reason, token }: Refusal): readonly Binding[] {
  return [
    toBinary(applicationId),
    new Date(),
    toBinary(newId()),
    reason,
    token?.kind ?? null,
    token ? toBinary(token.sessionId) : null,
    token ? toBinary(token.fromApplicationId) : null,
    token?.trace.digest ?? null,
    token?.trace.keyId ?? null,
    token?.trace.id ?? null,
    actor.apiKeyId && toBinary(actor.apiKeyId),
    actor.gateway,
  ];
}
