import { Overtaken } from '../db/errors';
import { read, readTogether, write, type Statement } from '../db/query';
import type { SessionId, WorkflowId } from '../model/ids';
import { must } from '../model/must';
import type { Problem } from '../model/problems';
import { scopeOfCopy } from '../model/scope';
import { finishedStatuses, type ExistingCopy } from '../model/session';
import type { AcceptanceRules } from '../model/acceptance';
import { storedRules } from '../store/acceptance';
import { workflowsById, type Workflow } from '../store/accounts';
import { ledgerEntries, ledgerKey, updateAnswer } from '../store/ledger/entries';
import type { ClonePlan } from '../store/relations/clone-plan';
import { linkKeyPeople, type NamedSessions } from '../store/relations/key-people';
import { shareLockCopies } from '../store/sessions/copies';
import { ownersOfSessions, shareLockSessions, type Locking } from '../store/sessions/lock';
import { claimSessions } from './claims';
import { sessionOf } from './copies';
import { heldOf } from './facts';
import {
  allViolations,
  dayOf,
  judgeSession,
  notMet,
  rulesFor,
  type Violations,
} from './acceptance';
import type { NumberLeases } from './number-leases';
import {
  keyOf,
  linkedCopies,
  maxLinkedSessions,
  noNumber,
  planImport,
  type AdmittedImport,
  type LinkedImport,
  type PlannedImport,
  type Transaction,
} from './planned-import';
import type { ImportRequest } from './request';
import { detailsOf, filledDetails, requiredDetails } from './required-details';
import { judgeImported, type Settled } from './rules';
import {
  byPart,
  countsOf,
  documentsOf,
  groupParts,
  partKey,
  sourcesOf,
  withDocuments,
  type PartKey,
  type SourcePart,
} from './source-parts';

/** What is known of a call when its linked sessions are looked at. */
interface Linking extends Pick<AdmittedImport, 'rules' | 'connectionId'> {
  /** The violations of the call's own session. */
  readonly violations: Violations;
  /** The workflow of the linked sessions. */
  readonly linkedWorkflow: Workflow;
  /** The sessions that the key people name. */
  readonly named: NamedSessions | 'too many';
}

/**
 * Share-locks the sessions that the key people of a business session name, and judges them. Only
 * finished user sessions of the source application are linked, and none that were withdrawn.
 *
 * @param plan the clone plan of user sessions.
 * @param call its source session must be locked. It is settled if its own session has violations, or if a linked
 * session that would be copied violates the rules for acceptance.
 * @returns the linked sessions, in the order of the key people, each once. A session is left out if
 * it was imported before and its copy was deleted: it can't be imported again. If there are too many,
 * nothing is locked, and the call is settled. `locked`: somebody else holds one of these sessions or of
 * their copies, and `locking` is `skip`.
 */
export async function findLinkedSessions(
  trx: Transaction,
  plan: ClonePlan,
  call: PlannedImport,
  own: Linking,
  numbers: NumberLeases,
  locking: Locking,
): Promise<readonly LinkedImport[] | Settled | 'locked'> {
  const { named, linkedWorkflow: workflow } = own;
  const { workflowId } = call.request;
  const linkedWorkflowId = linkedWorkflowOf(call);
  if (named === 'too many') return refuse(trx, call, tooMany(call));
  if (named.size === 0) {
    return own.violations.count > 0
      ? refuse(trx, call, notMet(call, own.rules, own.violations))
      : [];
  }
  const ids = [...named.keys()];
  const requests = ids.map((id) => linkedRequest(call, id));
  const parts = new Map(
    [...named].map(([id, scope]): [SessionId, SourcePart] => [
      id,
      { id, scope: scopeOfCopy('user', call.request.scope, scope) },
    ]),
  );
  const all = groupParts(plan, [...parts.values()]);
  const rules = rulesFor(call.request, workflow);
  const documents = withDocuments(plan, rules.documentsUnexpired ? [...parts.values()] : []);
  const required = requiredDetails([...parts.values()].map((part) => ({ part, rules })));
  const [locked, counts, ledger, workflows, found, filled] = await readTogether(trx, [
    shareLockSessions(plan.schema, ids, locking),
    countsOf(all),
    ledgerEntries(requests),
    workflowsById([workflowId, linkedWorkflowId]),
    documentsOf(documents, dayOf(call)),
    detailsOf(plan.schema, required),
  ]);
  if (heldOf(ids, locked, locking).size > 0) return 'locked';
  requireSameRules(call, own.rules, workflows.get(workflowId));
  requireSameRules(call, rules, workflows.get(linkedWorkflowId));
  const sources = sourcesOf([...parts.values()], locked, byPart(all, counts));
  const expired = byPart(documents, found);
  const details = filledDetails(required, filled);
  const keyOfPart = ({ sourceSessionId: id }: ImportRequest): PartKey =>
    partKey(must(parts.get(id), 'the part of a linked session'));

  const wanted = requests.flatMap((request) => {
    const source = sources.get(keyOfPart(request));
    const mayBeCopied =
      source?.applicationId === request.sourceApplicationId &&
      !source.withdrawn &&
      finishedStatuses.has(source.status);
    return mayBeCopied ? [{ request, source, entry: ledger.get(ledgerKey(request)) }] : [];
  });
  const missing = wanted.filter(({ entry }) => !entry);
  const violations = allViolations([
    own.violations,
    ...missing.map(({ request, source }) => {
      const { createdAt } = call;
      const documentsOfPart = expired.get(keyOfPart(request));
      return judgeSession({ request, createdAt }, source, rules, documentsOfPart, details);
    }),
  ]);
  if (violations.count > 0) return refuse(trx, call, notMet(call, own.rules, violations));
  const existing = wanted.flatMap(({ entry }) => (entry ? [entry.sessionId] : []));
  const copies = await lockCopies(trx, plan, existing, locking);
  if (copies === 'locked') return 'locked';
  const unplanned = missing.map(({ request }) => request);
  await planLinked(call, unplanned, numbers);

  return wanted.flatMap(({ request, source, entry }): LinkedImport[] => {
    if (entry) {
      const copy = copies.get(entry.sessionId);
      return copy ? [{ type: 'imported before', copy }] : [];
    }
    const planned = must(
      call.linkedPlans.get(request.sourceSessionId),
      'the plan of a linked session',
    );
    const { connectionId } = own;
    const more = { source, workflow, rules, connectionId, redeems: null, linked: [] };
    return [{ type: 'to copy', call: { ...planned, ...more } }];
  });
}

/**
 * Requires that a workflow has the same rules for acceptance as before the sessions of key people were locked: that
 * can have taken seconds.
 *
 * @param rules those of the call and the workflow together, as they were read before.
 * @throws Overtaken if the workflow has changed them.
 */
function requireSameRules(
  { request }: PlannedImport,
  rules: AcceptanceRules,
  workflow: Workflow | undefined,
): void {
  const now = workflow && rulesFor(request, workflow);
  if (now && storedRules(now) === storedRules(rules)) return;
  throw new Overtaken('a workflow has changed its rules');
}

/**
 * Refuses a call, unless its session was imported after the ledger was read: then the call is answered from the
 * ledger. The source is locked by now, so the other transaction has ended.
 */
async function refuse(trx: Transaction, call: PlannedImport, problem: Problem): Promise<Settled> {
  const ledger = await read(trx, ledgerEntries([call.request]));
  const existing = ledger.get(keyOf(call));
  return existing ? judgeImported(call, existing) : { type: 'refused', problem };
}

function tooMany({ request: { sourceSessionId } }: PlannedImport): Problem {
  return { reason: 'TOO_MANY_LINKED_SESSIONS', sourceSessionId, limit: maxLinkedSessions };
}

/**
 * Copies of user sessions, by id, locked against deletion. Deleted copies are missing. `locked`: somebody
 * else holds one of them, and `locking` is `skip`.
 */
async function lockCopies(
  trx: Transaction,
  { schema }: ClonePlan,
  ids: readonly SessionId[],
  locking: Locking,
): Promise<ReadonlyMap<SessionId, ExistingCopy> | 'locked'> {
  if (ids.length === 0) return new Map();
  const [existing, copies] = await readTogether(trx, [
    ownersOfSessions(schema, ids),
    shareLockCopies(schema, ids, locking),
  ]);
  return heldOf([...existing.keys()], copies, locking).size > 0 ? 'locked' : copies;
}

function linkedWorkflowOf({ request }: Pick<PlannedImport, 'request'>): WorkflowId {
  return must(request.linkedWorkflowId, 'the workflow for linked sessions');
}

/** The request to import a key person's session along with the given call. */
function linkedRequest({ request, sessionId }: PlannedImport, id: SessionId): ImportRequest {
  return {
    ...request,
    kind: 'user',
    sourceSessionId: id,
    permit: { token: null, linkedTo: sessionId },
    workflowId: linkedWorkflowOf({ request }),
    linkedWorkflowId: null,
    vendorData: null,
    idempotency: null,
  };
}

/** Plans linked imports that no earlier try has planned, so that ids stay the same in all tries. */
async function planLinked(
  call: PlannedImport,
  requests: readonly ImportRequest[],
  numbers: NumberLeases,
): Promise<void> {
  const unplanned = requests.filter(
    ({ sourceSessionId }) => !call.linkedPlans.has(sourceSessionId),
  );
  const taken = call.request.validateOnly
    ? unplanned.map(() => noNumber)
    : await numbers.take(unplanned.map(({ applicationId }) => applicationId));
  for (const [index, request] of unplanned.entries()) {
    const number = must(taken[index], 'the number of a linked session');
    if (typeof number !== 'number') throw number;
    call.linkedPlans.set(request.sourceSessionId, planImport(request, number, call.createdAt));
  }
}

/**
 * Claims the linked sessions of a call, after the call has claimed its own session. If another
 * import has claimed one of them first, the call uses the copy of that import.
 *
 * @returns the call with its linked sessions after the claims.
 * @throws Overtaken if somebody else holds the copy of that import: the next try finds that out before it
 * claims anything.
 */
export async function claimLinkedSessions(
  trx: Transaction,
  plan: ClonePlan,
  call: AdmittedImport,
): Promise<AdmittedImport> {
  const claimants = linkedCopies(call);
  if (claimants.length === 0) return call;
  const { lost } = await claimSessions(trx, claimants);
  if (lost.length === 0) return call;

  const winners = new Map(lost.map((one) => [one.call.sessionId, one.existing.sessionId]));
  const copies = await lockCopies(trx, plan, [...winners.values()], 'skip');
  if (copies === 'locked') throw new Overtaken('somebody holds the copy that another import made');
  const linked = call.linked.flatMap((one): LinkedImport[] => {
    const winner = one.type === 'to copy' ? winners.get(one.call.sessionId) : undefined;
    if (winner === undefined) return [one];
    const copy = copies.get(winner);
    return copy ? [{ type: 'imported before', copy }] : [];
  });
  const settled = { ...call, linked };
  // The call's own claim stored an answer that expects to win all linked claims: correct it.
  const { idempotency } = call.request;
  if (idempotency) {
    await write(trx, updateAnswer(call.request, idempotency.encode(sessionOf(settled))));
  }
  return settled;
}

/** Makes the key people of the copy point at the linked copies; nothing if there are none. */
export function linkCopies({ sessionId, linked }: AdmittedImport): readonly Statement[] {
  if (linked.length === 0) return [];
  const copyOf = new Map(
    linked.map((one) =>
      one.type === 'to copy'
        ? [one.call.request.sourceSessionId, one.call.sessionId]
        : [one.copy.sourceSessionId, one.copy.sessionId],
    ),
  );
  return [linkKeyPeople(sessionId, copyOf)];
}
