import type { Database } from '../db/database';
import { read } from '../db/query';
import { RepeatedWork } from '../db/repeated-work';
import type { WaitingCount } from '../model/retention';
import { waitingErasuresCount } from '../store/erasures';
import { countWaitingEvents, oldestWaitingEvents } from '../store/events/outbox';
import { oldestRefusal } from '../store/refusals';
import { dueSessionsCount } from '../store/retention';
import { oldestShareToken } from '../store/share-tokens';
import { waitingCopiesCount } from '../store/withdrawals/list';
import { estimatedRows, growingTables, type GrowingTable } from '../store/stored-rows';
import type { Logger } from '../telemetry/log';

/** The pause between two looks, in milliseconds. */
const interval = 60_000;

/** Where counting stops, so that its cost is bounded. */
const mostCounted = 10_000;

/** What is to be done: `erase` a session whose time is over, or `delete` the data of an erased one. */
export type ErasureStep = 'erase' | 'delete';

/** What there is for the job that prunes. */
export interface Backlog {
  /** Counted up to {@link mostCounted}. */
  readonly erasures: Readonly<Record<ErasureStep, WaitingCount>>;
  /** Events that have no number yet, counted up to {@link mostCounted} by transaction, and since when. */
  readonly events: { readonly waiting: number; readonly oldest: Date | null };
  /** Copies whose applications have to be told of a withdrawal, counted up to {@link mostCounted}. */
  readonly withdrawals: WaitingCount;
  /** About how many rows a table has, and when its oldest one was made; null: it is empty; undefined: not known. */
  readonly tables: ReadonlyMap<
    GrowingTable,
    { readonly rows: number; readonly oldest: Date | null | undefined }
  >;
}

/**
 * Looks once a minute what there is for the job that prunes. The service only shows it, because the job ends too soon
 * to be scraped itself. Reading the metrics does not wait for the database.
 */
export class BacklogWatch {
  private found: Backlog | undefined;
  private readonly looks: RepeatedWork;

  /**
   * Looks now, and from then on at intervals. If a look fails, this is logged, and the next one follows as usual.
   */
  constructor(
    private readonly db: Database,
    private readonly clock: () => Date,
    log: Logger,
  ) {
    const complaint = 'could not look what waits for prune';
    this.looks = new RepeatedWork(() => this.look(), { first: 0, interval, complaint, log });
  }

  /** What the last look has found; undefined: it has failed, or there was none yet. */
  get backlog(): Backlog | undefined {
    return this.found;
  }

  close(): void {
    this.looks.close();
  }

  private async look(): Promise<boolean> {
    try {
      this.found = await this.read();
    } catch (error) {
      // What was found before is not true for ever: no figure is better than an old one.
      this.found = undefined;
      throw error;
    }
    return false;
  }

  private async read(): Promise<Backlog> {
    const { db } = this;
    const rows = await read(db, estimatedRows());
    const oldest = {
      import_refusals: await read(db, oldestRefusal()),
      share_tokens: await read(db, oldestShareToken()),
      // No index has the time. To write one would cost more than the figure is worth.
      session_events: undefined,
    };
    return {
      erasures: {
        erase: await read(db, dueSessionsCount(this.clock(), mostCounted)),
        delete: await read(db, waitingErasuresCount(mostCounted)),
      },
      withdrawals: await read(db, waitingCopiesCount(mostCounted)),
      events: {
        waiting: await read(db, countWaitingEvents(mostCounted)),
        oldest: await read(db, oldestWaitingEvents()),
      },
      tables: new Map(
        growingTables.map((table) => [
          table,
          { rows: rows.get(table) ?? 0, oldest: oldest[table] },
        ]),
      ),
    };
  }
}
