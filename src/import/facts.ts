import { read, readTogether } from '../db/query';
import type { ApplicationId, SessionId, WorkflowId } from '../model/ids';
import { must } from '../model/must';
import type { KindSchema } from '../model/relations';
import { workflowsById } from '../store/accounts';
import { ledgerEntries, shareLockLedgerEntries } from '../store/ledger/entries';
import type { ClonePlan } from '../store/relations/clone-plan';
import { countRows, largeBytes, type RowCounts } from '../store/relations/count';
import {
  existingSessions,
  shareLockSessions,
  type LockedSession,
  type Locking,
  type OwnedSession,
} from '../store/sessions/lock';
import { revokedTokens } from '../store/share-tokens';
import { vendorEntitiesByName } from '../store/vendor-entities';
import type { PlannedImport, Source, Transaction } from './planned-import';
import { shareTokenIdOf } from './request';
import { judge, type Facts } from './rules';
import { vendorNamesOf } from './vendor-entities';

/**
 * Reads what decides whether each call may go on, and locks the source sessions. This is one round trip; there
 * are more if a session was not locked, or if an import may have been made already.
 *
 * A source session counts only if it really belongs to the application that the call's token names. A session
 * of another application is neither locked nor counted: otherwise, somebody who knows its id could learn that
 * it exists, and that somebody has locked it.
 *
 * @param locking `skip`: waits for no source session. Those that somebody else holds are `heldSources`.
 * @param toMeasure the source sessions whose large values are measured.
 */
export async function gatherFacts(
  trx: Transaction,
  plan: ClonePlan,
  calls: readonly PlannedImport[],
  locking: Locking,
  toMeasure: readonly SessionId[],
): Promise<Facts> {
  const requests = calls.map(({ request }) => request);
  const wanted = sourcesNamedBy(calls);
  const measuring = wanted.filter(({ id }) => toMeasure.includes(id));
  const [ledger, vendorEntities, locked, counts, workflows, revoked, measured = new Map()] =
    await readTogether(trx, [
      ledgerEntries(requests),
      vendorEntitiesByName(plan.schema, vendorNamesOf(calls)),
      shareLockSessions(plan.schema, wanted, locking),
      // Everything below is read after the locks: a revocation holds the session's lock while it marks tokens.
      countRows(plan, wanted),
      workflowsById(workflowsNamedBy(calls)),
      revokedTokens(calls.flatMap(({ request }) => shareTokenIdOf(request) ?? [])),
      // Most groups measure nothing.
      measuring.length > 0 ? largeBytes(plan, measuring) : undefined,
    ]);
  const facts = {
    ledger,
    vendorEntities,
    sources: sourcesOf(locked, counts),
    heldSources: await heldOf(trx, plan.schema, wanted, locked, locking),
    workflows,
    revoked,
    measured,
  };
  if (!calls.some((call) => mayHaveBeenDone(call, facts))) return facts;
  // The other attempt may have been committed after the first read of the ledger, and the source or the
  // workflow may have changed after that, because it locked them only until it ended. So this second read
  // decides. If an earlier attempt of the same call is still in its COMMIT, the read waits for that.
  const earlier = calls.filter(({ possiblyCommitted }) => possiblyCommitted);
  const [, decisive] = await readTogether(trx, [
    shareLockLedgerEntries(earlier.map(({ request }) => request)),
    ledgerEntries(requests),
  ]);
  return { ...facts, ledger: decisive };
}

/**
 * Whether the import may have been made already, although the first read of the ledger did not show
 * it. An earlier attempt of this call, or another call with the same request, may still have been
 * running at that time.
 */
function mayHaveBeenDone(call: PlannedImport, facts: Facts): boolean {
  if (call.possiblyCommitted) return true;
  return call.request.idempotency !== null && judge(call, facts).type === 'refused';
}

/**
 * The sessions that somebody else holds: with `skip`, those that exist and could not be locked. One that was
 * released in the meantime counts as held: its call will wait for the lock, and get it at once.
 */
export async function heldOf(
  trx: Transaction,
  schema: KindSchema,
  wanted: readonly OwnedSession[],
  locked: ReadonlyMap<SessionId, unknown>,
  locking: Locking,
): Promise<ReadonlyMap<SessionId, ApplicationId>> {
  const missing = wanted.filter(({ id }) => !locked.has(id));
  if (locking === 'wait' || missing.length === 0) return new Map();
  return read(trx, existingSessions(schema, missing));
}

/** The source sessions of the calls, with the applications that the calls' tokens name; each pair once. */
function sourcesNamedBy(calls: readonly PlannedImport[]): readonly OwnedSession[] {
  const named = calls.map(({ request }) => ({
    id: request.sourceSessionId,
    applicationId: request.sourceApplicationId,
  }));
  return [...new Map(named.map((one) => [`${one.id}/${one.applicationId}`, one])).values()];
}

function workflowsNamedBy(calls: readonly PlannedImport[]): WorkflowId[] {
  const named = calls.flatMap(({ request }) => [request.workflowId, request.linkedWorkflowId]);
  return [...new Set(named.filter((id) => id !== null))];
}

/**
 * Locked sessions with the rows that were counted behind their locks.
 *
 * @throws AssertionFailure if the rows of one were not counted.
 */
export function sourcesOf(
  locked: ReadonlyMap<SessionId, LockedSession>,
  counts: ReadonlyMap<SessionId, RowCounts>,
): ReadonlyMap<SessionId, Source> {
  return new Map(
    [...locked].map(([id, session]) => [
      id,
      { ...session, rows: must(counts.get(id), `the count of the rows of session ${id}`) },
    ]),
  );
}
