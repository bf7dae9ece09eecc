import type { Statement } from '../db/query';
import type { SessionId } from '../model/ids';
import { must, mustHold } from '../model/must';
import { ServiceError, type Problem } from '../model/problems';
import type { SessionKind } from '../model/session';
import type { LedgerKey } from '../store/ledger/entries';
import type { ClonePlan } from '../store/relations/clone-plan';
import { requireWritable } from '../store/session-numbers';
import type { Locking } from '../store/sessions/lock';
import { claimSessions, claimWithCopies } from './claims';
import { sessionOf, writeCopies, type Copied } from './copies';
import { gatherFacts } from './facts';
import { claimLinkedSessions, findLinkedSessions, linkCopies } from './linked-sessions';
import type { NumberLeases } from './number-leases';
import { findOvertaken } from './overtaken';
import {
  keyOf,
  linkedCopies,
  type AdmittedImport,
  type PlannedImport,
  type Transaction,
} from './planned-import';
import type { ImportResult } from './request';
import type { SessionSizes } from './sizes';
import type { StrictWorkflows } from './strict-workflows';
import { judge, judgeImported, type Facts, type Verdict } from './rules';
import { planVendorEntities } from './vendor-entities';

/**
 * The most rows that a group copies, and the most that one session in it may have. Large values count as
 * several rows: see {@link SessionSizes}.
 */
export interface RowLimits {
  readonly group: number;
  readonly session: number;
}

export const unlimited: RowLimits = {
  group: Number.POSITIVE_INFINITY,
  session: Number.POSITIVE_INFINITY,
};

/**
 * The most sessions whose claims and copies are sent together. A claim can have 8 KB (80 KB with linked sessions), and
 * the copies 1 MiB. So with more of them they might not fit into 4 MiB, the lowest `max_allowed_packet` that the
 * service accepts.
 */
const mostClaimedWithCopies = 128;

/** The result of a call. */
export type Outcome =
  | ImportResult
  /** Nothing was done: the group had no room for so many rows. Large values count as several. */
  | { readonly type: 'postponed'; readonly rows: number }
  /** Nothing was done: somebody else holds a session to be copied, or a copy to be pointed at. */
  | { readonly type: 'locked' }
  /** Nothing was done: others have changed what the call rests on. Its next try must not hold up other calls. */
  | { readonly type: 'overtaken' }
  | { readonly type: 'failed'; readonly error: ServiceError };

/** The result of each call of a group, by the id that its copy has or would have had. */
export type Outcomes = Map<SessionId, Outcome>;

/** What all groups need. */
export interface Tools {
  readonly plans: Readonly<Record<SessionKind, ClonePlan>>;
  /** For sessions that are not known before the group runs. */
  readonly numbers: NumberLeases;
  readonly sizes: SessionSizes;
  readonly strict: StrictWorkflows;
}

/**
 * Imports a group: calls of one kind, in one transaction. Each call gets its own outcome. Every
 * import goes through this function, also that of a single call.
 *
 * It takes four round trips, however many rows there are: BEGIN with the first facts, the locks with the other facts,
 * the claims with the copies, COMMIT. There are more with linked sessions, if a claim is taken, if more than
 * {@link mostClaimedWithCopies} sessions are copied, if a workflow is first seen to want unexpired documents, if rules
 * require details, if an earlier attempt may have been committed, or if calls are refused and nothing is copied.
 *
 * @param trx a transaction at READ COMMITTED. The outcomes hold once it is committed.
 * @param calls if one of them includes linked sessions, it must be the only call.
 * @param limits calls that do not fit into these limits are postponed.
 * @param locking `skip`: waits for no session; calls whose sessions somebody else holds are `locked`. A
 * call whose earlier try may have been committed is `locked` only if the ledger shows that it was not (see
 * {@link gatherFacts}).
 * @throws CallsOvertaken if others have changed what some of the calls rest on.
 */
export async function importGroup(
  trx: Transaction,
  tools: Tools,
  kind: SessionKind,
  calls: readonly PlannedImport[],
  limits: RowLimits,
  locking: Locking,
): Promise<Outcomes> {
  // Two calls of one group must never want the same linked session.
  mustHold(
    calls.length === 1 || calls.every(({ request }) => request.linkedWorkflowId === null),
    'a call with linked sessions is alone in its group',
  );
  const { plans, numbers, sizes, strict } = tools;
  const plan = plans[kind];
  const outcomes: Outcomes = new Map();
  const admitted: AdmittedImport[] = [];

  const toMeasure = sizes.choose(calls, limits.session);
  const facts = await gatherFacts(trx, plan, calls, locking, toMeasure, strict);
  sizes.learn(calls, facts.measured);
  for (const call of calls) {
    const verdict = judge(call, facts);
    if (verdict.type !== 'admitted') {
      outcomes.set(call.sessionId, outcomeOf(verdict));
      continue;
    }
    const { source, workflow, linkedWorkflow, connectionId, redeems, rules } = verdict;
    const linking = linkedWorkflow && { ...verdict, linkedWorkflow, named: facts.named };
    const linked = linking
      ? await findLinkedSessions(trx, plans.user, call, linking, numbers, locking)
      : [];
    if (linked === 'locked') {
      outcomes.set(call.sessionId, { type: 'locked' });
      continue;
    }
    if ('type' in linked) {
      outcomes.set(call.sessionId, outcomeOf(linked));
      continue;
    }
    if (isTooLarge(call, facts)) {
      outcomes.set(call.sessionId, failed({ reason: 'SESSION_TOO_LARGE' }));
      continue;
    }
    const judged = { source, workflow, rules, connectionId, redeems, linked };
    const checked: AdmittedImport = { ...call, ...judged };
    if (!call.request.validateOnly) admitted.push(checked);
    else outcomes.set(call.sessionId, { type: 'validated', session: sessionOf(checked) });
  }
  const weights = sizes.weigh(admitted, facts.measured);
  const { fitting, postponed } = fitInto(limits, admitted, weights);
  for (const { call, rows } of postponed) {
    outcomes.set(call.sessionId, { type: 'postponed', rows });
  }
  if (fitting.length > 0) {
    try {
      await makeCopies(trx, tools, kind, fitting, facts, outcomes);
    } catch (error) {
      throw calls.length > 1 ? await findOvertaken(trx, plan, fitting, facts, error) : error;
    }
  }
  // If nothing was copied, the server has not proved yet that it takes writes. A replica that lags behind must
  // not refuse a call because it lacks data.
  else if ([...outcomes.values()].some(({ type }) => type === 'failed')) await requireWritable(trx);
  return outcomes;
}

/**
 * Whether a session was measured, and the database would surely refuse it. It would find that out itself, but only
 * after it has written all that fits. It compares before it writes a row, so one row, at most the largest, may exceed
 * the limit. In a group with several calls, `mostBytes` is Infinity: a call with a large session is postponed, and is
 * alone later.
 */
function isTooLarge({ request }: PlannedImport, { measured, mostBytes }: Facts): boolean {
  const bytes = measured.get(request.sourceSessionId);
  return bytes !== undefined && bytes.all - bytes.largestRow > mostBytes;
}

/** Chooses the calls that a group has room for: those that come first. */
function fitInto(
  limits: RowLimits,
  calls: readonly AdmittedImport[],
  weights: ReadonlyMap<SessionId, number>,
): {
  readonly fitting: readonly AdmittedImport[];
  readonly postponed: readonly { readonly call: AdmittedImport; readonly rows: number }[];
} {
  const fitting: AdmittedImport[] = [];
  const postponed: { call: AdmittedImport; rows: number }[] = [];
  const counted = new Set<LedgerKey>();
  let room = limits.group;
  for (const call of calls) {
    const rows = weightOf(call, weights);
    // The rows of a copy count once, also if several calls want it. A call whose earlier try may
    // have been committed is never postponed: it must find that out in this transaction.
    const free = counted.has(keyOf(call)) || call.possiblyCommitted !== undefined;
    if (!free && (rows > limits.session || rows > room)) {
      postponed.push({ call, rows });
      continue;
    }
    if (!free) room -= rows;
    counted.add(keyOf(call));
    fitting.push(call);
  }
  return { fitting, postponed };
}

/** How much a call copies, in rows: its session, and the linked sessions that come along. */
function weightOf(
  { sessionId, linked }: AdmittedImport,
  weights: ReadonlyMap<SessionId, number>,
): number {
  return linked.reduce(
    (sum, each) => sum + (each.type === 'to copy' ? each.call.source.rows.total : 0),
    must(weights.get(sessionId), 'the weight of a session'),
  );
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
  const write = (claimed: readonly AdmittedImport[], claim?: Statement): Promise<void> => {
    const linked = claimed.flatMap(linkedCopies);
    const copied = [
      copiedBy(plans[kind], claimed, facts.vendorEntities),
      ...(linked.length > 0 ? [copiedBy(plans.user, linked, new Map())] : []),
    ];
    return writeCopies(trx, copied, { claim, links: claimed.flatMap(linkCopies) });
  };
  const claims = calls.reduce((sum, call) => sum + 1 + linkedCopies(call).length, 0);
  const done =
    claims <= mostClaimedWithCopies ? await claimWithCopies(trx, calls, write) : undefined;
  const { won, lost, reused } = done ?? (await claimSessions(trx, calls));
  for (const { call, existing } of lost) {
    outcomes.set(call.sessionId, outcomeOf(judgeImported(call, existing)));
  }
  for (const call of reused) outcomes.set(call.sessionId, failed({ reason: 'REQUEST_ID_REUSED' }));
  const claimed: AdmittedImport[] = [];
  for (const call of won) {
    claimed.push(done ? call : await claimLinkedSessions(trx, plans.user, call));
  }
  if (!done && claimed.length > 0) await write(claimed);
  for (const call of claimed) {
    outcomes.set(call.sessionId, { type: 'imported', session: sessionOf(call) });
  }
}

/** What is copied of calls of one kind. */
function copiedBy(
  plan: ClonePlan,
  calls: readonly AdmittedImport[],
  vendorEntities: Facts['vendorEntities'],
): Copied {
  return { plan, calls, entities: planVendorEntities(plan.schema, calls, vendorEntities) };
}

function outcomeOf(settled: Exclude<Verdict, { type: 'admitted' }>): Outcome {
  return settled.type === 'refused' ? failed(settled.problem) : settled;
}

function failed(problem: Problem): Outcome {
  return { type: 'failed', error: new ServiceError(problem) };
}
