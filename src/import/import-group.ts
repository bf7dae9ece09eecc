import { fromBinary, toBinary, type SessionId } from '../db/ids';
import { readTogether } from '../db/query';
import { ServiceError, type Problem } from '../errors';
import { claimSessions } from './claims';
import type { ClonePlan } from './clone-plan';
import { statusOfCopy, writeCopies } from './copies';
import { gatherFacts, judge, type Facts } from './facts';
import type { AdmittedImport, PlannedImport, Transaction } from './planned-import';
import { rowCounts, selectRowCounts, type RowCountRow } from './row-counts';
import type { ClonedRows, ImportedSession, SessionStatus } from './session';
import { planVendorEntities } from './vendor-entities';

/** How a call ended. */
export type Outcome =
  | { readonly type: 'imported'; readonly session: ImportedSession }
  /** Nothing was done: its session has more rows than the group had room for. */
  | { readonly type: 'postponed'; readonly rows: number }
  | { readonly type: 'failed'; readonly error: ServiceError };

/** How each call of a group ended, by the id that its copy has or would have had. */
export type Outcomes = Map<SessionId, Outcome>;

/**
 * Imports a group: calls of one kind, in one transaction, each settled by itself. This is the only
 * way in which a session is imported, alone or with others.
 *
 * The number of round trips depends neither on the number of calls nor on the number of rows.
 *
 * @param trx a transaction at READ COMMITTED. The outcomes hold once it is committed.
 * @param rowLimit the rows that the group copies at most; calls that it has no room for are postponed.
 */
export async function importGroup(
  trx: Transaction,
  plan: ClonePlan,
  calls: readonly PlannedImport[],
  rowLimit: number,
): Promise<Outcomes> {
  const outcomes: Outcomes = new Map();
  const admitted: AdmittedImport[] = [];
  const doneBefore: PlannedImport[] = [];

  const facts = await gatherFacts(trx, plan, calls);
  for (const call of calls) {
    const verdict = judge(call, facts);
    if (verdict.type === 'refused') outcomes.set(call.sessionId, failed(verdict.problem));
    else if (verdict.type === 'done before') doneBefore.push(call);
    else admitted.push({ ...call, source: verdict.source, workflow: verdict.workflow });
  }
  const { fitting, postponed } = fitInto(rowLimit, admitted);
  for (const { call, rows } of postponed) {
    outcomes.set(call.sessionId, { type: 'postponed', rows });
  }
  if (fitting.length > 0) await makeCopies(trx, plan, fitting, facts, outcomes);
  if (doneBefore.length > 0) await readBackCopies(trx, plan, doneBefore, outcomes);
  return outcomes;
}

/** Chooses the calls that a group of limited size has room for: those with few rows first. */
function fitInto(
  rowLimit: number,
  calls: readonly AdmittedImport[],
): {
  readonly fitting: readonly AdmittedImport[];
  readonly postponed: readonly { readonly call: AdmittedImport; readonly rows: number }[];
} {
  const sized = calls.map((call) => ({ call, rows: call.source.rows.total }));
  let room = rowLimit;
  const fits = new Set<AdmittedImport>();
  for (const { call, rows } of sized.toSorted((a, b) => a.rows - b.rows)) {
    room -= rows;
    if (room >= 0) fits.add(call);
  }
  return {
    fitting: calls.filter((call) => fits.has(call)),
    postponed: sized.filter(({ call }) => !fits.has(call)),
  };
}

/** Claims the sessions, and copies those that were won. */
async function makeCopies(
  trx: Transaction,
  plan: ClonePlan,
  calls: readonly AdmittedImport[],
  facts: Facts,
  outcomes: Outcomes,
): Promise<void> {
  const { won, lost } = await claimSessions(trx, calls);
  for (const { call, existing } of lost) {
    outcomes.set(call.sessionId, alreadyImported(call, existing));
  }
  if (won.length === 0) return;

  const entities = planVendorEntities(plan.schema, won, facts.vendorEntities);
  await writeCopies(trx, plan, won, entities);
  for (const call of won) {
    outcomes.set(call.sessionId, imported(call, statusOfCopy(call), call.source.rows.relations));
  }
}

/** Answers the calls that an earlier try has carried out, from what it left behind. */
async function readBackCopies(
  trx: Transaction,
  plan: ClonePlan,
  calls: readonly PlannedImport[],
  outcomes: Outcomes,
): Promise<void> {
  const ids = calls.map(({ sessionId }) => sessionId);
  const [sessions, counted] = await readTogether<
    [{ readonly id: Buffer; readonly status: SessionStatus }, RowCountRow]
  >(trx, [
    {
      sql: 'SELECT id, status FROM ?? WHERE id IN (?)',
      bindings: [plan.schema.sessions, ids.map(toBinary)],
    },
    selectRowCounts(plan, ids),
  ]);
  const statuses = new Map(sessions.map(({ id, status }) => [fromBinary<SessionId>(id), status]));
  const counts = rowCounts(plan, counted);

  for (const call of calls) {
    const status = statuses.get(call.sessionId);
    const rows = counts.get(call.sessionId)?.relations;
    // Without its session, the copy has been deleted in the moment since: it was imported, once.
    outcomes.set(
      call.sessionId,
      status === undefined || rows === undefined
        ? alreadyImported(call, call.sessionId)
        : imported(call, status, withoutImportLog(plan, rows)),
    );
  }
}

/** The log entry that an import appends is not one that it cloned. */
function withoutImportLog(plan: ClonePlan, rows: readonly ClonedRows[]): readonly ClonedRows[] {
  const logs = plan.relations.find(({ table }) => table === plan.schema.logs)?.name;
  return rows.map((entry) =>
    entry.relation === logs ? { ...entry, rows: Math.max(0, entry.rows - 1) } : entry,
  );
}

function imported(
  call: PlannedImport,
  status: SessionStatus,
  rows: readonly ClonedRows[],
): Outcome {
  const { request } = call;
  return {
    type: 'imported',
    session: {
      sessionId: call.sessionId,
      sessionNumber: call.sessionNumber,
      sessionToken: call.sessionToken,
      kind: request.kind,
      status,
      workflowId: request.workflowId,
      vendorData: request.vendorData,
      sourceSessionId: request.sourceSessionId,
      sourceApplicationId: request.sourceApplicationId,
      createdAt: call.createdAt,
      clonedRows: rows,
    },
  };
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
