import { fromBinary, toBinary, type SessionId } from '../db/ids';
import { read } from '../db/query';
import { ServiceError, type Problem } from '../errors';
import { claimSessions } from './claims';
import type { ClonePlan } from './clone-plan';
import {
  appendImportLogs,
  clonedRows,
  cloneRelations,
  countRows,
  insertSessions,
  statusOfCopy,
} from './copies';
import { gatherFacts, judge } from './facts';
import type { AdmittedImport, PlannedImport, Transaction } from './planned-import';
import type { ClonedRows, ImportedSession, SessionStatus } from './session';
import { ensureVendorEntities } from './vendor-entities';

/** How a call ended. */
export type Outcome =
  | { readonly type: 'imported'; readonly session: ImportedSession }
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
 */
export async function importGroup(
  trx: Transaction,
  plan: ClonePlan,
  calls: readonly PlannedImport[],
): Promise<Outcomes> {
  const outcomes: Outcomes = new Map();
  const admitted: AdmittedImport[] = [];
  const doneBefore: PlannedImport[] = [];

  const facts = await gatherFacts(trx, plan.schema, calls);
  for (const call of calls) {
    const verdict = judge(call, facts);
    if (verdict.type === 'refused') outcomes.set(call.sessionId, failed(verdict.problem));
    else if (verdict.type === 'done before') doneBefore.push(call);
    else admitted.push({ ...call, source: verdict.source, workflow: verdict.workflow });
  }
  if (admitted.length > 0) await makeCopies(trx, plan, admitted, outcomes);
  if (doneBefore.length > 0) await readBackCopies(trx, plan, doneBefore, outcomes);
  return outcomes;
}

/** Claims the sessions, and copies those that were won. */
async function makeCopies(
  trx: Transaction,
  plan: ClonePlan,
  calls: readonly AdmittedImport[],
  outcomes: Outcomes,
): Promise<void> {
  const { won, lost } = await claimSessions(trx, calls);
  for (const { call, existing } of lost) {
    outcomes.set(call.sessionId, alreadyImported(call, existing));
  }
  if (won.length === 0) return;

  const ids = won.map(({ sessionId }) => sessionId);
  const vendorEntityOf = await ensureVendorEntities(trx, plan.schema, won);
  await insertSessions(trx, plan.schema, won, vendorEntityOf);
  const filled = await cloneRelations(trx, plan, ids);
  const counts = await countRows(trx, filled, ids);
  await appendImportLogs(trx, plan.schema, won, counts);

  for (const call of won) {
    const rows = clonedRows(plan, counts, call.sessionId);
    outcomes.set(call.sessionId, imported(call, statusOfCopy(call), rows));
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
  const rows = await read<{ id: Buffer; status: SessionStatus }>(
    trx,
    'SELECT id, status FROM ?? WHERE id IN (?)',
    [plan.schema.sessions, ids.map(toBinary)],
  );
  const statuses = new Map(rows.map(({ id, status }) => [fromBinary<SessionId>(id), status]));
  const counts = await countRows(trx, plan.relations, ids);

  for (const call of calls) {
    const status = statuses.get(call.sessionId);
    // Without its session, the copy has been deleted in the moment since: it was imported, once.
    outcomes.set(
      call.sessionId,
      status === undefined
        ? alreadyImported(call, call.sessionId)
        : imported(call, status, withoutImportLog(plan, clonedRows(plan, counts, call.sessionId))),
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
