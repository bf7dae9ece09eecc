import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '../db/connection';
import { databaseFailure, type DatabaseFailure } from '../db/errors';
import { toServiceError } from '../errors';
import { ClaimSettledMeanwhile } from './claims';
import { planClone, type ClonePlan } from './clone-plan';
import { planImport, type PlannedImport } from './group';
import { importGroup, type Outcome, type Outcomes } from './import-group';
import { kindSchemas } from './relations';
import type { ImportRequest, SessionKind } from './session';
import { SessionNumbers } from './session-numbers';

/** How often a group is tried before its calls are told to try again themselves. */
const tries = 5;

/** The longest pause before the second try, in milliseconds; it doubles from try to try. */
const firstPause = 20;

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
    try {
      const calls = await retrying(isTransient, () => this.plan(requests));
      const outcomes = await this.settle(this.plans[kind], calls);
      this.giveBackNumbers(calls, outcomes);
      return calls.map((call) => outcomes.get(call.sessionId) ?? failed(new Error('not settled')));
    } catch (error) {
      return requests.map(() => failed(error));
    }
  }

  private async plan(requests: readonly ImportRequest[]): Promise<PlannedImport[]> {
    return Promise.all(
      requests.map(async (request) =>
        planImport(request, await this.numbers.take(request.applicationId)),
      ),
    );
  }

  /** Runs the group; when it fails as a whole, lets each call fail, or not, by itself. */
  private async settle(plan: ClonePlan, calls: readonly PlannedImport[]): Promise<Outcomes> {
    const alone = calls.length === 1;
    try {
      // A lock that somebody holds for long is one call's bad luck: its neighbours do not wait for a
      // second try.
      const again = (failure: DatabaseFailure): boolean =>
        isTransient(failure) && (alone || failure !== 'lock wait');
      return await retrying(again, () => this.tryGroup(plan, calls));
    } catch (error) {
      if (alone || databaseFailure(error) === 'unreachable') {
        return new Map(calls.map((call) => [call.sessionId, failed(error)]));
      }
      const apart = await Promise.all(calls.map((call) => this.settle(plan, [call])));
      return new Map(apart.flatMap((outcomes) => [...outcomes]));
    }
  }

  private async tryGroup(plan: ClonePlan, calls: readonly PlannedImport[]): Promise<Outcomes> {
    return this.db.transaction(async (trx) => {
      const outcomes = await importGroup(trx, plan, calls);
      for (const call of calls) call.mayBeCommitted = true;
      return outcomes;
    });
  }

  private giveBackNumbers(calls: readonly PlannedImport[], outcomes: Outcomes): void {
    for (const { request, sessionId, sessionNumber } of calls) {
      const outcome = outcomes.get(sessionId);
      if (outcome?.type === 'failed' && isRefusal(outcome)) {
        this.numbers.giveBack(request.applicationId, sessionNumber);
      }
    }
  }
}

/** Whether a call was refused by what the database said, and not by how the database fared. */
function isRefusal({ error }: Outcome & { type: 'failed' }): boolean {
  return error.cause === undefined;
}

function failed(error: unknown): Outcome {
  return { type: 'failed', error: toServiceError(error) };
}

function isTransient(failure: DatabaseFailure): boolean {
  return failure !== 'other';
}

/** Tries again, with pauses that grow and jitter, as long as the failure is worth it. */
async function retrying<T>(
  again: (failure: DatabaseFailure) => boolean,
  work: () => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const failure = error instanceof ClaimSettledMeanwhile ? 'conflict' : databaseFailure(error);
      if (attempt === tries || !again(failure)) throw error;
      await sleep(Math.random() * firstPause * 2 ** (attempt - 1));
    }
  }
}
