import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '../db/connection';
import { databaseFailure, type DatabaseFailure } from '../db/errors';
import type { SessionId } from '../db/ids';
import { ServiceError, toServiceError } from '../errors';
import { planClone, type ClonePlan } from './clone-plan';
import { planImport, type PlannedImport } from './group';
import { importGroup, type Outcome, type Outcomes } from './import-group';
import { kindSchemas } from './relations';
import type { ImportRequest, SessionKind } from './session';
import { SessionNumbers } from './session-numbers';

/** How often a group is tried before its calls are told to try again themselves. */
const tries: Readonly<Record<DatabaseFailure, number>> = {
  conflict: 5,
  unreachable: 5,
  // Whoever holds a lock for that long holds it for longer, and a third wait would hold up others.
  'lock wait': 2,
  other: 1,
};

/** The longest pause before the second try, in milliseconds; it doubles from try to try. */
const firstPause = 20;

/** Connections that one running group uses at most: it is taken apart twice, in {@link pairs}. */
export const connectionsPerGroup = 4;

/**
 * Imports sessions: takes calls of one kind and settles each of them, whatever becomes of the
 * others. Knows nothing of gRPC, and nothing of who is waiting.
 */
export class Importer {
  private constructor(
    private readonly db: Database,
    private readonly plans: Readonly<Record<SessionKind, ClonePlan>>,
    private readonly numbers: SessionNumbers,
  ) {}

  /**
   * Prepares an importer for a database.
   *
   * @throws SchemaMismatch if the database holds something of a session that the importer would not
   * copy: see {@link planClone}.
   */
  static async create(db: Database): Promise<Importer> {
    const plans = {
      user: await planClone(db, kindSchemas.user),
      business: await planClone(db, kindSchemas.business),
    };
    return new Importer(db, plans, new SessionNumbers(db));
  }

  /**
   * Imports sessions of one kind.
   *
   * @returns how each call ended, in the order of the calls. Never rejects.
   */
  async import(kind: SessionKind, requests: readonly ImportRequest[]): Promise<Outcome[]> {
    const planned = await Promise.allSettled(requests.map((request) => this.plan(request)));
    const calls = planned.flatMap((plan) => (plan.status === 'fulfilled' ? [plan.value] : []));
    const outcomes = await this.settle(this.plans[kind], calls);
    return planned.map((plan) => {
      if (plan.status === 'rejected') return failed(plan.reason);
      return outcomes.get(plan.value.sessionId) ?? failed(new Error('a call was not settled'));
    });
  }

  /** Gives a call all that its copy needs beforehand. */
  private async plan(request: ImportRequest): Promise<PlannedImport> {
    const take = (): Promise<number> => this.numbers.take(request.applicationId);
    return planImport(request, await retrying(take));
  }

  /** Runs the group; when it fails as a whole, lets each call fail, or not, by itself. */
  private async settle(plan: ClonePlan, calls: readonly PlannedImport[]): Promise<Outcomes> {
    if (calls.length === 0) return new Map();
    try {
      return await retrying(() => this.tryGroup(plan, calls));
    } catch (error) {
      const parts = partsOf(calls, databaseFailure(error));
      if (parts.length === 1) {
        return new Map(calls.map((call) => [call.sessionId, failedForGood(call, error)]));
      }
      const outcomes: Outcomes = new Map();
      for (const some of pairs(parts)) {
        const settled = await Promise.all(some.map((part) => this.settle(plan, part)));
        for (const [id, outcome] of settled.flatMap((part) => [...part])) outcomes.set(id, outcome);
      }
      return outcomes;
    }
  }

  private async tryGroup(plan: ClonePlan, calls: readonly PlannedImport[]): Promise<Outcomes> {
    // When a connection is lost, Knex reports that it could not roll back, and not why it had to.
    let cause: unknown;
    try {
      return await this.db.transaction(async (trx) => {
        try {
          const outcomes = await importGroup(trx, plan, calls);
          for (const call of calls) call.mayBeCommitted = true;
          return outcomes;
        } catch (error) {
          cause = error;
          throw error;
        }
      });
    } catch (error) {
      throw cause ?? error;
    }
  }
}

/**
 * The next smaller groups that may fare better after a failure: the calls of each source session, and
 * then each call by itself. A database out of reach is so for all of them, and a source session that
 * somebody has locked is so for all who want it.
 */
function partsOf(
  calls: readonly PlannedImport[],
  failure: DatabaseFailure,
): readonly (readonly PlannedImport[])[] {
  if (failure === 'unreachable') return [calls];
  const bySource = new Map<SessionId, PlannedImport[]>();
  for (const call of calls) {
    const { sourceSessionId } = call.request;
    bySource.set(sourceSessionId, [...(bySource.get(sourceSessionId) ?? []), call]);
  }
  if (bySource.size > 1) return [...bySource.values()];
  return failure === 'lock wait' ? [calls] : calls.map((call) => [call]);
}

/** Two at a time: one that waits for a lock does not hold up all others. */
function pairs<T>(items: readonly T[]): T[][] {
  return items.flatMap((_, index) => (index % 2 === 0 ? [items.slice(index, index + 2)] : []));
}

function failed(error: unknown): Outcome {
  return { type: 'failed', error: toServiceError(error) };
}

/**
 * The outcome of a call whose last try has failed. If one of its tries got as far as COMMIT, whatever
 * stopped the others: nobody knows, and the caller must ask again.
 */
function failedForGood(call: PlannedImport, error: unknown): Outcome {
  if (!call.mayBeCommitted) return failed(error);
  const unknown = new ServiceError({ reason: 'DATABASE_UNAVAILABLE' }, { cause: error });
  return { type: 'failed', error: unknown };
}

/** Tries again, with pauses that grow and jitter, as long as the failure is worth it. */
async function retrying<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt >= tries[databaseFailure(error)]) throw error;
      await sleep(Math.random() * firstPause * 2 ** (attempt - 1));
    }
  }
}
