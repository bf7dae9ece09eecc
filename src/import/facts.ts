import { read, readTogether } from '../db/query';
import type { ApplicationId, SessionId, WorkflowId } from '../model/ids';
import { must } from '../model/must';
import { workflowsById } from '../store/accounts';
import { activeConnections } from '../store/connections/active';
import { ledgerEntries, shareLockLedgerEntries } from '../store/ledger/entries';
import type { ClonePlan } from '../store/relations/clone-plan';
import { countRows, largeBytes, type RowCounts } from '../store/relations/count';
import { expiredDocuments } from '../store/relations/expired-documents';
import {
  ownersOfSessions,
  shareLockSessions,
  type LockedSession,
  type Locking,
} from '../store/sessions/lock';
import { recordedTokens } from '../store/share-tokens';
import { vendorEntitiesByName } from '../store/vendor-entities';
import { dayOf } from './acceptance';
import { keyOf, type PlannedImport, type Source, type Transaction } from './planned-import';
import { pairOf, shareTokenIdOf } from './request';
import { judge, type Facts } from './rules';
import type { StrictWorkflows } from './strict-workflows';
import { vendorNamesOf } from './vendor-entities';

/**
 * Reads what decides whether each call may go on, and locks the source sessions, except of calls that the ledger
 * has an entry for.
 *
 * @param locking `skip`: waits for no source session. Those that somebody else holds are `heldSources`.
 * @param toMeasure the source sessions whose large values are measured.
 * @param strict the workflows that are thought to want unexpired documents. It learns from what is read.
 */
export async function gatherFacts(
  trx: Transaction,
  plan: ClonePlan,
  calls: readonly PlannedImport[],
  locking: Locking,
  toMeasure: readonly SessionId[],
  strict: StrictWorkflows,
): Promise<Facts> {
  const requests = calls.map(({ request }) => request);
  const [ledger, vendorEntities, owners] = await readTogether(trx, [
    ledgerEntries(requests),
    vendorEntitiesByName(plan.schema, vendorNamesOf(calls)),
    ownersOfSessions(
      plan.schema,
      requests.map(({ sourceSessionId }) => sourceSessionId),
    ),
  ]);
  const wanted = calls.filter((call) => !ledger.has(keyOf(call)));
  const facts = {
    ledger,
    vendorEntities,
    ...(await lockSources(trx, plan, wanted, owners, locking, new Set(toMeasure), strict)),
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

/** Locks the source sessions until the transaction ends, and reads what depends on them. */
async function lockSources(
  trx: Transaction,
  plan: ClonePlan,
  calls: readonly PlannedImport[],
  owners: ReadonlyMap<SessionId, ApplicationId>,
  locking: Locking,
  toMeasure: ReadonlySet<SessionId>,
  strict: StrictWorkflows,
): Promise<Omit<Facts, 'ledger' | 'vendorEntities'>> {
  if (calls.length === 0) {
    return {
      sources: new Map(),
      heldSources: new Map(),
      workflows: new Map(),
      shareTokens: new Map(),
      connections: new Map(),
      expired: new Map(),
      measured: new Map(),
    };
  }
  const ids = sessionsOfTheirSources(calls, owners);
  const measuring = ids.filter((id) => toMeasure.has(id));
  const expected = documentsOf(
    calls.filter(({ request }) => request.acceptance.documentsUnexpired || strict.has(request)),
    ids,
  );
  const pairs = calls.filter(({ request }) => request.asked).map(({ request }) => pairOf(request));
  const facts = await readTogether(trx, [
    shareLockSessions(plan.schema, ids, locking),
    countRows(plan, ids),
    workflowsById(workflowsNamedBy(calls)),
    // After the locks: a revocation holds the session's lock while it marks the tokens.
    recordedTokens(calls.flatMap(({ request }) => shareTokenIdOf(request) ?? [])),
    // Most groups need no connections, have no rules about documents, and measure nothing.
    pairs.length > 0 ? activeConnections(pairs) : undefined,
    expected && expiredDocuments(plan.schema, expected.ids, expected.today),
    measuring.length > 0 ? largeBytes(plan, measuring) : undefined,
  ]);
  const [locked, counts, workflows, shareTokens, connections = new Map()] = facts;
  const [, , , , , expired = new Map(), measured = new Map()] = facts;
  strict.learn(workflows);
  const sources = sourcesOf(locked, counts);
  const held = [...heldOf(ids, locked, locking)];
  const heldSources = new Map(
    held.map((id) => [id, must(owners.get(id), 'the owner of a session')]),
  );
  // Now the workflows are known. Some may want unexpired documents although this was not expected.
  const known = new Set(expected?.ids);
  const unread = documentsOf(
    calls.filter(({ request }) => strict.has(request)),
    ids.filter((id) => locked.has(id) && !known.has(id)),
  );
  const others =
    unread && (await read(trx, expiredDocuments(plan.schema, unread.ids, unread.today)));
  return {
    ...{ sources, heldSources, workflows, shareTokens, connections, measured },
    expired: others ? new Map([...expired, ...others]) : expired,
  };
}

/**
 * Whose documents to read for some calls, and the day on which these must be valid; undefined: nobody's.
 *
 * @param ids only these sessions are considered.
 */
function documentsOf(
  calls: readonly PlannedImport[],
  ids: readonly SessionId[],
): { readonly ids: readonly SessionId[]; readonly today: string } | undefined {
  const wanted = new Set(calls.map(({ request }) => request.sourceSessionId));
  const documents = ids.filter((id) => wanted.has(id));
  const [first] = calls;
  return first && documents.length > 0 ? { ids: documents, today: dayOf(first) } : undefined;
}

/**
 * The sessions that somebody else holds: with `skip`, those that could not be locked.
 *
 * @param ids sessions that existed a moment ago. So one that could not be locked is held by somebody else, or was
 * deleted since. A call that waits for the lock finds out which.
 */
export function heldOf(
  ids: readonly SessionId[],
  locked: ReadonlyMap<SessionId, unknown>,
  locking: Locking,
): ReadonlySet<SessionId> {
  return new Set(locking === 'skip' ? ids.filter((id) => !locked.has(id)) : []);
}

/**
 * The source sessions that really belong to the applications that the calls' tokens name. A session of
 * another application is neither locked nor counted: otherwise, whoever knows its id could learn that it
 * exists, and that its owner is changing it.
 */
function sessionsOfTheirSources(
  calls: readonly PlannedImport[],
  owners: ReadonlyMap<SessionId, ApplicationId>,
): readonly SessionId[] {
  const own = calls.filter(
    ({ request }) => owners.get(request.sourceSessionId) === request.sourceApplicationId,
  );
  return [...new Set(own.map(({ request }) => request.sourceSessionId))];
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
