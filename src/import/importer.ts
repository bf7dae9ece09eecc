import type { MultiDatabase } from '../db/database';
import { databaseFailure, isOutOfReach, Overtaken, toServiceError } from '../db/errors';
import { pendingMigrations } from '../db/migrations';
import { defaultRetryPolicy, groupRetryPolicy, type Retry } from '../db/retry';
import { inTransaction } from '../db/transaction';
import { slicesOf } from '../model/collections';
import type { SessionId } from '../model/ids';
import { must } from '../model/must';
import { ServiceError } from '../model/problems';
import { kindSchemas } from '../model/relations';
import type { SessionKind } from '../model/session';
import {
  planClone,
  readCatalogue,
  SchemaMismatch,
  type ClonePlan,
} from '../store/relations/clone-plan';
import type { Locking } from '../store/sessions/lock';
import { isNumberRefused } from '../store/sessions/numbers';
import { checkTables } from '../store/tables';
import { importGroup, type Outcome, type Outcomes, type RowLimits } from './group';
import { NumberLeases } from './number-leases';
import { CallsOvertaken } from './overtaken';
import { noNumber, planImport, type PlannedImport } from './planned-import';
import type { ImportRequest } from './request';
import { SessionSizes } from './sizes';
import { StrictWorkflows } from './strict-workflows';

/**
 * How long the calls of a failed group may be run one by one, in milliseconds. Calls that are left
 * then fail with CONFLICT.
 */
const timeToTakeApart = 10_000;

/** What stays the same when a group is retried or split up. */
interface Work {
  readonly kind: SessionKind;
  readonly limits: RowLimits;
  readonly locking: Locking;
  /** When splitting it up must end, by `performance.now()`. */
  readonly until: number;
}

/**
 * The most connections that one running group uses. It uses two while its calls run one by one, or
 * while it leases numbers for linked sessions.
 */
export const connectionsPerGroup = 2;

/**
 * Imports sessions: takes calls of one kind and gives each of them its own outcome. Knows nothing
 * about gRPC or about who is waiting.
 */
export class Importer {
  private readonly sizes = new SessionSizes();
  private readonly strict = new StrictWorkflows();

  private constructor(
    private readonly db: MultiDatabase,
    private readonly plans: Readonly<Record<SessionKind, ClonePlan>>,
    private readonly numbers: NumberLeases,
    private readonly retry: Retry,
    private readonly clock: () => Date,
  ) {}

  /**
   * Prepares an importer for a database.
   *
   * @throws SchemaMismatch if the database lacks a migration, or has a relation or column that the
   * importer would not copy (see {@link planClone}), or if its tables are not stored as they have to be
   * (see {@link checkTables}).
   */
  static async create(db: MultiDatabase, retry: Retry, clock: () => Date): Promise<Importer> {
    const pending = await pendingMigrations(db);
    if (pending.length > 0) {
      throw new SchemaMismatch(
        `the database lacks ${pending.join(', ')}: run "session-import migrate"`,
      );
    }
    await checkTables(db);
    const catalogue = await readCatalogue(db);
    const plans = {
      user: planClone(db, kindSchemas.user, catalogue),
      business: planClone(db, kindSchemas.business, catalogue),
    };
    return new Importer(db, plans, new NumberLeases(db, retry), retry, clock);
  }

  /**
   * Imports sessions of one kind.
   *
   * @param limits calls that do not fit into one transaction by these limits are postponed.
   * @param locking `wait` only if all calls want the same session, so that they can wait for it together.
   * @returns how each call ended, in the order of the calls. Never rejects.
   */
  async import(
    kind: SessionKind,
    requests: readonly ImportRequest[],
    limits: RowLimits,
    locking: Locking,
  ): Promise<Outcome[]> {
    const importing = requests.filter(({ validateOnly }) => !validateOnly);
    const numbers = await this.numbers.take(importing.map(({ applicationId }) => applicationId));
    const numberOf = new Map(importing.map((request, index) => [request, numbers[index]]));
    // One time for all calls, so that their documents must be valid on the same day.
    const now = this.clock();
    const planned = requests.map((request) => {
      const number = request.validateOnly ? noNumber : numberOf.get(request);
      return typeof number === 'number' ? planImport(request, number, now) : failed(number);
    });
    const calls = planned.filter((call) => !('type' in call)) as PlannedImport[];
    const work = { kind, limits, locking, until: performance.now() + timeToTakeApart };
    const outcomes = await this.settle(work, calls);
    return planned.map((call) => {
      if ('type' in call) return call;
      return outcomes.get(call.sessionId) ?? failed(new Error('a call was not settled'));
    });
  }

  /**
   * Runs the group. If it fails as a whole, runs its calls by themselves: only bad ones fail then.
   */
  private async settle(work: Work, calls: readonly PlannedImport[]): Promise<Outcomes> {
    if (calls.length === 0) return new Map();
    try {
      const together = work.locking === 'wait' || calls.length === 1;
      const policy = together ? defaultRetryPolicy : groupRetryPolicy;
      return await this.retry(() => this.tryGroup(work, calls), policy);
    } catch (error) {
      const failure = databaseFailure(error);
      if (calls.length === 1 || isOutOfReach(failure) || performance.now() >= work.until) {
        return failAll(calls, error);
      }
      // All calls want this one session, so none of them would get it by itself.
      if (work.locking === 'wait' && failure === 'lock wait') return failAll(calls, error);
      // Each call then runs alone and is measured. Later imports of the same pair of applications are measured
      // as well, so that a large one does not split up another group.
      if (failure === 'too large') this.sizes.doubt(calls);
      return this.settleApart(work, calls, error);
    }
  }

  /**
   * Runs each call by itself, two at a time, so that a call that waits for a lock does not delay all others.
   */
  private async settleApart(
    work: Work,
    calls: readonly PlannedImport[],
    error: unknown,
  ): Promise<Outcomes> {
    // A call that was not run by itself may be correct: CONFLICT tells its caller to try again.
    const outOfTime = new ServiceError({ reason: 'CONFLICT' }, { cause: error });
    const outcomes: Outcomes = new Map();
    for (const pair of slicesOf(calls, 2)) {
      const settled =
        performance.now() < work.until
          ? await Promise.all(pair.map((call) => this.settle(work, [call])))
          : [failAll(pair, outOfTime)];
      for (const [id, outcome] of settled.flatMap((part) => [...part])) outcomes.set(id, outcome);
    }
    return outcomes;
  }

  /**
   * Runs the group once. Calls that were overtaken are left out, and the others go on without a pause.
   *
   * @throws Overtaken if all calls were overtaken, or if a session number was refused: then all calls have new ones.
   * Which call it was is not asked, since gaps are allowed.
   */
  private async tryGroup(work: Work, calls: readonly PlannedImport[]): Promise<Outcomes> {
    try {
      return await this.runGroup(work, calls);
    } catch (error) {
      if (error instanceof CallsOvertaken && error.calls.size < calls.length) {
        return this.settleOthers(work, calls, error.calls);
      }
      if (!isNumberRefused(error)) throw error;
      await this.renumber(calls);
      throw new Overtaken('a session number was refused', { cause: error });
    }
  }

  private async settleOthers(
    work: Work,
    calls: readonly PlannedImport[],
    overtaken: ReadonlySet<SessionId>,
  ): Promise<Outcomes> {
    const others = calls.filter(({ sessionId }) => !overtaken.has(sessionId));
    const outcomes = await this.settle(work, others);
    for (const id of overtaken) outcomes.set(id, { type: 'overtaken' });
    return outcomes;
  }

  /** Gives new numbers to all sessions that are to be made, linked ones included. */
  private async renumber(calls: readonly PlannedImport[]): Promise<void> {
    const importing = calls
      .filter(({ request }) => !request.validateOnly)
      .flatMap((call) => [call, ...call.linkedPlans.values()]);
    const numbers = await this.numbers.takeAnew(
      importing.map(({ request }) => request.applicationId),
    );
    for (const [index, call] of importing.entries()) {
      const number = must(numbers[index], 'a new session number');
      if (typeof number !== 'number') throw number;
      call.sessionNumber = number;
    }
  }

  private async runGroup(
    { kind, limits, locking }: Work,
    calls: readonly PlannedImport[],
  ): Promise<Outcomes> {
    const { plans, numbers, sizes, strict } = this;
    return inTransaction(this.db, async (trx) => {
      const outcomes = await importGroup(
        trx,
        { plans, numbers, sizes, strict },
        kind,
        calls,
        limits,
        locking,
      );
      for (const call of calls) {
        const outcome = must(outcomes.get(call.sessionId), 'the outcome of a call');
        // If an attempt makes nothing, it stays unknown whether an earlier one, which made a copy, was committed.
        if (outcome.type === 'imported') call.possiblyCommitted = outcome.session;
      }
      return outcomes;
    });
  }
}

function failed(error: unknown): Outcome {
  return { type: 'failed', error: toServiceError(error) };
}

/**
 * The outcomes of calls whose last try has failed. If one try of a call may have been committed,
 * its result is not known, whatever stopped the other tries. Then the caller must ask again.
 */
function failAll(calls: readonly PlannedImport[], error: unknown): Outcomes {
  const unknown = new ServiceError({ reason: 'DATABASE_UNAVAILABLE' }, { cause: error });
  return new Map(
    calls.map(({ sessionId, possiblyCommitted }) => [
      sessionId,
      failed(possiblyCommitted ? unknown : error),
    ]),
  );
}
