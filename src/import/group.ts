import type { SessionId } from '../model/ids';
import { ServiceError, type Problem } from '../model/problems';
import { claimSessions } from './claims';
import type { ClonePlan } from '../store/clone-plan';
import { sessionOf, writeCopies } from './copies';
import { gatherFacts, judge, judgeImported, ledgerKey, type Facts, type LedgerKey } from './facts';
import {
  claimLinkedSessions,
  copyLinkedSessions,
  findLinkedSessions,
  readBackLinked,
} from './linked-sessions';
import type { AdmittedImport, PlannedImport, Transaction } from './planned-import';
import { readBack } from './read-back';
import type { ImportedSession, KeptAnswer, SessionKind } from '../model/session';
import type { SessionNumbers } from './number-leases';
import { planVendorEntities } from '../store/vendor-entities';

/** How many rows a group copies at most, and how many a session of it may have. */
export interface RowLimits {
  readonly group: number;
  readonly session: number;
}

export const unlimited: RowLimits = {
  group: Number.POSITIVE_INFINITY,
  session: Number.POSITIVE_INFINITY,
};

/** How a call ended. */
export type Outcome =
  | { readonly type: 'imported'; readonly session: ImportedSession }
  /** Nothing was done: this is what an import would have made. */
  | { readonly type: 'validated'; readonly session: ImportedSession }
  /** Nothing was done: the same request got an answer before. */
  | { readonly type: 'answered before'; readonly kept: KeptAnswer }
  /** Nothing was done: the group had no room for so many rows. */
  | { readonly type: 'postponed'; readonly rows: number }
  | { readonly type: 'failed'; readonly error: ServiceError };

/** How each call of a group ended, by the id that its copy has or would have had. */
export type Outcomes = Map<SessionId, Outcome>;

/** What groups work with, whatever they import. */
export interface Tools {
  readonly plans: Readonly<Record<SessionKind, ClonePlan>>;
  /** For sessions that are not known before the group runs. */
  readonly numbers: SessionNumbers;
}

/**
 * Imports a group: calls of one kind, in one transaction, each settled by itself. This is the only
 * way in which a session is imported, alone or with others.
 *
 * The number of round trips depends neither on the number of calls nor on the number of rows.
 *
 * @param trx a transaction at READ COMMITTED. The outcomes hold once it is committed.
 * @param calls of which one that takes linked sessions along is the only one.
 * @param limits what there is room for; other calls are postponed.
 */
export async function importGroup(
  trx: Transaction,
  tools: Tools,
  kind: SessionKind,
  calls: readonly PlannedImport[],
  limits: RowLimits,
): Promise<Outcomes> {
  const { plans, numbers } = tools;
  const plan = plans[kind];
  const outcomes: Outcomes = new Map();
  const admitted: AdmittedImport[] = [];
  const doneBefore: PlannedImport[] = [];

  const facts = await gatherFacts(trx, plan, calls);
  for (const call of calls) {
    const verdict = judge(call, facts);
    if (verdict.type === 'refused') outcomes.set(call.sessionId, failed(verdict.problem));
    else if (verdict.type === 'answered before') outcomes.set(call.sessionId, verdict);
    else if (verdict.type === 'done before') doneBefore.push(call);
    else {
      const { source, workflow, linkedWorkflow } = verdict;
      const linked = linkedWorkflow
        ? await findLinkedSessions(trx, plans.user, call, linkedWorkflow, numbers)
        : [];
      const checked: AdmittedImport = { ...call, source, workflow, linked };
      if (!call.request.validateOnly) admitted.push(checked);
      else outcomes.set(call.sessionId, { type: 'validated', session: sessionOf(checked) });
    }
  }
  const { fitting, postponed } = fitInto(limits, admitted);
  for (const { call, rows } of postponed) {
    outcomes.set(call.sessionId, { type: 'postponed', rows });
  }
  if (fitting.length > 0) await makeCopies(trx, tools, kind, fitting, facts, outcomes);
  if (doneBefore.length > 0) await readBackCopies(trx, tools, kind, doneBefore, outcomes);
  return outcomes;
}

/** Chooses the calls that a group has room for: those that come first. */
function fitInto(
  limits: RowLimits,
  calls: readonly AdmittedImport[],
): {
  readonly fitting: readonly AdmittedImport[];
  readonly postponed: readonly { readonly call: AdmittedImport; readonly rows: number }[];
} {
  const fitting: AdmittedImport[] = [];
  const postponed: { call: AdmittedImport; rows: number }[] = [];
  const counted = new Set<LedgerKey>();
  let room = limits.group;
  for (const call of calls) {
    const rows = call.source.rows.total;
    // Of several calls for one copy, one makes it. And a call that may have been carried out already
    // must find out in this very transaction.
    const free = counted.has(ledgerKey(call)) || call.mayBeCommitted;
    if (!free && (rows > limits.session || rows > room)) {
      postponed.push({ call, rows });
      continue;
    }
    if (!free) room -= rows;
    counted.add(ledgerKey(call));
    fitting.push(call);
  }
  return { fitting, postponed };
}

/** Claims the sessions, and copies those that were won. */
async function makeCopies(
  trx: Transaction,
  { plans }: Tools,
  kind: SessionKind,
  calls: readonly AdmittedImport[],
  facts: Facts,
  outcomes: Outcomes,
): Promise<void> {
  const { won, lost, reused } = await claimSessions(trx, calls);
  for (const { call, existing } of lost) {
    const verdict = judgeImported(call, existing);
    outcomes.set(call.sessionId, verdict.type === 'refused' ? failed(verdict.problem) : verdict);
  }
  for (const call of reused) outcomes.set(call.sessionId, failed({ reason: 'REQUEST_ID_REUSED' }));
  if (won.length === 0) return;

  const claimed: AdmittedImport[] = [];
  for (const call of won) claimed.push(await claimLinkedSessions(trx, plans.user, call));
  const plan = plans[kind];
  const entities = planVendorEntities(plan.schema, claimed, facts.vendorEntities);
  await writeCopies(trx, plan, claimed, entities);
  for (const call of claimed) {
    await copyLinkedSessions(trx, plans.user, call);
    outcomes.set(call.sessionId, { type: 'imported', session: sessionOf(call) });
  }
}

/** Answers the calls that an earlier try has carried out, from what it left behind. */
async function readBackCopies(
  trx: Transaction,
  { plans }: Tools,
  kind: SessionKind,
  calls: readonly PlannedImport[],
  outcomes: Outcomes,
): Promise<void> {
  const ids = calls.map(({ sessionId }) => sessionId);
  const copies = await readBack(trx, plans[kind], ids);
  for (const call of calls) {
    const copy = copies.get(call.sessionId);
    // Without its session, the copy has been deleted in the moment since: it was imported, once.
    if (!copy) {
      outcomes.set(call.sessionId, alreadyImported(call, call.sessionId));
      continue;
    }
    const linkedSessions = await readBackLinked(trx, plans.user, call);
    outcomes.set(call.sessionId, { type: 'imported', session: { ...copy, linkedSessions } });
  }
}

function alreadyImported({ request }: PlannedImport, existing: SessionId): Outcome {
  return failed({
    reason: 'SESSION_ALREADY_IMPORTED',
    sessionId: existing,
    sourceSessionId: request.sourceSessionId,
  });
}

function failed(problem: Problem): Outcome {
  return { type: 'failed', error: new ServiceError(problem) };
}
