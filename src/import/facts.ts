import { readTogether } from '../db/query';
import type { ApplicationId, SessionId, WorkflowId } from '../model/ids';
import { must } from '../model/must';
import { shares } from '../model/scope';
import { workflowsById, type Workflow } from '../store/accounts';
import { activeConnections } from '../store/connections/active';
import { ledgerEntries, shareLockLedgerEntries } from '../store/ledger/entries';
import type { ClonePlan } from '../store/relations/clone-plan';
import type { LargeBytes } from '../store/relations/count';
import { sessionsToLink } from '../store/relations/key-people';
import {
  ownersOfSessions,
  shareLockSessions,
  type Locking,
  type Ownership,
} from '../store/sessions/lock';
import { recordedTokens } from '../store/share-tokens';
import { mostBytesOfTransaction } from '../store/tables';
import { vendorEntitiesByName } from '../store/vendor-entities';
import { dayOf, rulesFor } from './acceptance';
import { keyOf, maxLinkedSessions, type PlannedImport, type Transaction } from './planned-import';
import { pairOf, shareTokenIdOf } from './request';
import { detailsOf, filledDetails, requiredDetails, type RuledPart } from './required-details';
import { judge, type Facts } from './rules';
import {
  byPart,
  bytesOf,
  countsOf,
  documentsOf,
  groupParts,
  partKey,
  partOf,
  sourcesOf,
  withDocuments,
  type SourcePart,
} from './source-parts';
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
    owners,
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
  owners: ReadonlyMap<SessionId, Ownership>,
  locking: Locking,
  toMeasure: ReadonlySet<SessionId>,
  strict: StrictWorkflows,
): Promise<Omit<Facts, 'ledger' | 'vendorEntities' | 'owners'>> {
  if (calls.length === 0) {
    return {
      sources: new Map(),
      heldSources: new Map(),
      workflows: new Map(),
      shareTokens: new Map(),
      connections: new Map(),
      expired: new Map(),
      details: new Map(),
      named: new Map(),
      measured: new Map(),
      mostBytes: Infinity,
    };
  }
  const own = ofTheirSources(calls, owners);
  const today = dayOf(must(calls[0], 'a call'));
  const parts = (some: readonly PlannedImport[]): readonly SourcePart[] =>
    some.map(({ request }) => partOf(request, owners));
  const ids = [...new Set(own.map(({ request }) => request.sourceSessionId))];
  const wanted = parts(own);
  const all = groupParts(plan, wanted);
  const chosen = own.filter(({ request }) => toMeasure.has(request.sourceSessionId));
  // Most groups have no rules about documents, and measure nothing.
  const expected = parts(
    own.filter(({ request }) => request.acceptance.documentsUnexpired || strict.has(request)),
  );
  const documents = withDocuments(plan, expected);
  const linking = sourceWithLinked(own, owners);
  const pairs = calls.filter(({ request }) => request.asked).map(({ request }) => pairOf(request));
  const facts = await readTogether(trx, [
    shareLockSessions(plan.schema, ids, locking),
    countsOf(all),
    workflowsById(workflowsNamedBy(calls)),
    // After the locks: a revocation holds the session's lock while it marks the tokens.
    recordedTokens(calls.flatMap(({ request }) => shareTokenIdOf(request) ?? [])),
    // Most groups need no connections.
    pairs.length > 0 ? activeConnections(pairs) : undefined,
    documentsOf(documents, today),
    bytesOf(groupParts(plan, parts(chosen))),
    // With other calls, it is not known which part of a session was measured.
    chosen.length > 0 && calls.length === 1 ? mostBytesOfTransaction() : undefined,
    // After the lock: who changes the key people of a session holds its lock.
    linking && sessionsToLink(linking.id, linking.owner, maxLinkedSessions),
  ]);
  const [locked, counts, workflows, shareTokens, connections = new Map(), expired, ...rest] = facts;
  const [bytes, mostBytes = Infinity, named = new Map()] = rest;
  strict.learn(workflows);
  const held = [...heldOf(ids, locked, locking)];
  // Now the workflows are known. Some may want unexpired documents although this was not expected.
  const known = new Set(expected.map(partKey));
  const unexpected = parts(own.filter(({ request }) => strict.has(request)));
  const unread = withDocuments(
    plan,
    unexpected.filter((part) => locked.has(part.id) && !known.has(partKey(part))),
  );
  const required = requiredDetails(ruledParts(own, owners, workflows, locked));
  const [others, details] =
    unread.length + required.length > 0
      ? await readTogether(trx, [documentsOf(unread, today), detailsOf(plan.schema, required)])
      : [[], []];
  return {
    sources: sourcesOf(wanted, locked, byPart(all, counts)),
    heldSources: new Map(
      held.map((id) => [id, must(owners.get(id), 'the owner of a session').applicationId]),
    ),
    ...{ workflows, shareTokens, connections, measured: largest(bytes), mostBytes },
    expired: new Map([...byPart(documents, expired), ...byPart(unread, others)]),
    details: filledDetails(required, details),
    named,
  };
}

/**
 * The source session of the call that includes linked sessions: that call is alone in its group. Undefined if no call
 * does, or if its copy gets no key people.
 */
function sourceWithLinked(
  calls: readonly PlannedImport[],
  owners: ReadonlyMap<SessionId, Ownership>,
): { readonly id: SessionId; readonly owner: ApplicationId } | undefined {
  const call = calls.find(({ request }) => request.linkedWorkflowId !== null);
  if (!call) return undefined;
  const { id, scope } = partOf(call.request, owners);
  return shares(scope, 'key_people') ? { id, owner: call.request.sourceApplicationId } : undefined;
}

/** What the calls copy of locked sessions, with the rules for it. */
function ruledParts(
  calls: readonly PlannedImport[],
  owners: ReadonlyMap<SessionId, Ownership>,
  workflows: ReadonlyMap<WorkflowId, Workflow>,
  locked: ReadonlyMap<SessionId, unknown>,
): readonly RuledPart[] {
  return calls.flatMap(({ request }) => {
    const workflow = workflows.get(request.workflowId);
    if (!workflow || !locked.has(request.sourceSessionId)) return [];
    return [{ part: partOf(request, owners), rules: rulesFor(request, workflow) }];
  });
}

/** How large sessions are: if different parts of one were measured, the largest of them counts. */
function largest(
  measured: readonly ReadonlyMap<SessionId, LargeBytes>[],
): ReadonlyMap<SessionId, LargeBytes> {
  const bytes = measured.flatMap((found) => [...found]);
  return new Map(bytes.toSorted(([, a], [, b]) => a.all - b.all));
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
 * The calls whose source sessions really belong to the applications that their tokens name. A session of
 * another application is neither locked nor counted: otherwise, whoever knows its id could learn that it
 * exists, and that its owner is changing it.
 */
function ofTheirSources(
  calls: readonly PlannedImport[],
  owners: ReadonlyMap<SessionId, Ownership>,
): readonly PlannedImport[] {
  return calls.filter(
    ({ request }) =>
      owners.get(request.sourceSessionId)?.applicationId === request.sourceApplicationId,
  );
}

function workflowsNamedBy(calls: readonly PlannedImport[]): WorkflowId[] {
  const named = calls.flatMap(({ request }) => [request.workflowId, request.linkedWorkflowId]);
  return [...new Set(named.filter((id) => id !== null))];
}
