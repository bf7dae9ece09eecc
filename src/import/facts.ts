import { fromBinary, isUuid, toBinary, toId } from '../model/ids';
import type {
  ApplicationId,
  SessionId,
  ShareTokenId,
  VendorEntityId,
  WorkflowId,
} from '../model/ids';
import { read, readTogether, type Statement } from '../db/query';
import type { Problem } from '../model/problems';
import type { ClonePlan } from '../store/clone-plan';
import { inKeyOrder, type PlannedImport, type Transaction } from './planned-import';
import type { KindSchema } from '../model/relations';
import { rowCounts, selectRowCounts, type RowCountRow, type RowCounts } from '../store/row-counts';
import { recall, type KeptRow } from './idempotency';
import {
  finishedStatuses,
  type ImportRequest,
  type KeptAnswer,
  type SessionKind,
  type SessionStatus,
} from '../model/session';
import {
  selectVendorEntities,
  vendorEntities,
  type EntityKey,
  type VendorEntityRow,
} from '../store/vendor-entities';

/** What the database says about the calls of a group. */
export interface Facts {
  /** The copies that exist, or existed, by importing application and source session. */
  readonly ledger: ReadonlyMap<LedgerKey, LedgerEntry>;
  readonly workflows: ReadonlyMap<WorkflowId, Workflow>;
  /** The vendor entities that exist, of those that the calls name. */
  readonly vendorEntities: ReadonlyMap<EntityKey, VendorEntityId>;
  /** The source sessions, locked until the transaction ends: nobody changes them meanwhile. */
  readonly sources: ReadonlyMap<SessionId, Source>;
  /** The tokens that were taken back, of those that the calls have. */
  readonly revoked: ReadonlySet<RevocationKey>;
}

/** A recorded share token, and the application that made it: another one's means nothing. */
type RevocationKey = `${ApplicationId}/${ShareTokenId}`;

export interface Workflow {
  readonly applicationId: ApplicationId;
  readonly kind: SessionKind;
  readonly version: number;
}

export interface Source {
  readonly applicationId: ApplicationId;
  readonly status: SessionStatus;
  readonly rows: RowCounts;
}

/** An import that was made. */
export interface LedgerEntry {
  readonly sessionId: SessionId;
  readonly kept: KeptRow;
}

/** The ledger's primary key, as text whose order is that of the key. */
export type LedgerKey = `${ApplicationId}/${SessionId}`;

/** Whatever asks for the import of a session. */
interface Asking {
  readonly request: Pick<ImportRequest, 'applicationId' | 'sourceSessionId'>;
}

export function ledgerKey({ request }: Asking): LedgerKey {
  return `${request.applicationId}/${request.sourceSessionId}`;
}

/** Reads what decides whether each call may go on, and locks the source sessions of those that may. */
export async function gatherFacts(
  trx: Transaction,
  plan: ClonePlan,
  calls: readonly PlannedImport[],
): Promise<Facts> {
  const [ledgerRows, entityRows] = await readTogether<[LedgerRow, VendorEntityRow]>(trx, [
    selectLedger(calls),
    selectVendorEntities(plan.schema, calls),
  ]);
  const ledger = ledgerOf(ledgerRows);
  const wanted = calls.filter((call) => !ledger.has(ledgerKey(call)));
  const facts = {
    ledger,
    vendorEntities: vendorEntities(entityRows),
    ...(await lockSources(trx, plan, wanted)),
  };
  if (!calls.some((call) => mayHaveBeenDone(call, facts))) return facts;
  // It may have been committed since the ledger was read, and the source or the workflow changed after
  // that: they were locked for as long as it ran. So this reading is decisive.
  return { ...facts, ledger: await readLedger(trx, calls) };
}

/**
 * Whether what a call asks for may be done already, although the ledger did not say so at first: by an
 * earlier try, or by the same request in another call, which was still running then.
 */
function mayHaveBeenDone(call: PlannedImport, facts: Facts): boolean {
  if (call.mayBeCommitted) return true;
  return call.request.remembered !== null && judge(call, facts).type === 'refused';
}

/** A row of {@link selectLedger}. */
export type LedgerRow = KeptRow &
  Readonly<Record<'application_id' | 'source_session_id' | 'session_id', Buffer>>;

/** Reads whose claims stand in the ledger, among the sessions that the calls are about. */
export async function readLedger(
  trx: Transaction,
  calls: readonly PlannedImport[],
): Promise<ReadonlyMap<LedgerKey, LedgerEntry>> {
  const { sql, bindings } = selectLedger(calls);
  return ledgerOf(await read<LedgerRow>(trx, sql, bindings));
}

/** The statement that reads the ledger's entries for the sessions that the calls are about. */
export function selectLedger(calls: readonly Asking[]): Statement {
  const keys = calls.map(({ request }) => [
    toBinary(request.applicationId),
    toBinary(request.sourceSessionId),
  ]);
  return {
    sql: `SELECT application_id, source_session_id, session_id, request_id, request_digest, answer
          FROM session_imports
          WHERE (application_id, source_session_id) IN (?)`,
    bindings: [keys],
  };
}

/** What {@link selectLedger} has found. */
export function ledgerOf(rows: readonly LedgerRow[]): ReadonlyMap<LedgerKey, LedgerEntry> {
  return new Map(
    rows.map((row) => [
      `${fromBinary<ApplicationId>(row.application_id)}/${fromBinary<SessionId>(row.source_session_id)}`,
      { sessionId: fromBinary<SessionId>(row.session_id), kept: row },
    ]),
  );
}

interface WorkflowRow {
  readonly id: Buffer;
  readonly application_id: Buffer;
  readonly kind: SessionKind;
  readonly version: number;
}

function selectWorkflows(calls: readonly PlannedImport[]): Statement {
  const named = calls.flatMap(({ request }) => [request.workflowId, request.linkedWorkflowId]);
  const ids = new Set(named.filter((id) => id !== null));
  return {
    sql: 'SELECT id, application_id, kind, version FROM workflows WHERE id IN (?)',
    bindings: [[...ids].map(toBinary)],
  };
}

function workflowsOf(rows: readonly WorkflowRow[]): ReadonlyMap<WorkflowId, Workflow> {
  return new Map(
    rows.map((row) => [
      fromBinary<WorkflowId>(row.id),
      { applicationId: fromBinary(row.application_id), kind: row.kind, version: row.version },
    ]),
  );
}

/** A row of the first of {@link selectSources}. */
export interface SourceRow {
  readonly id: Buffer;
  readonly application_id: Buffer;
  readonly status: SessionStatus;
}

/** Locks the source sessions until the transaction ends, and reads the workflows. */
async function lockSources(
  trx: Transaction,
  plan: ClonePlan,
  calls: readonly PlannedImport[],
): Promise<Pick<Facts, 'sources' | 'workflows' | 'revoked'>> {
  if (calls.length === 0) return { sources: new Map(), workflows: new Map(), revoked: new Set() };
  const ids = calls.map(({ request }) => request.sourceSessionId);
  const [locked, counted, workflows, revoked] = await readTogether<
    [SourceRow, RowCountRow, WorkflowRow, RevokedRow]
  >(trx, [
    ...selectSources(plan, ids),
    selectWorkflows(calls),
    // Behind the locks: whoever takes a token back holds the session while doing so.
    selectRevoked(calls),
  ]);
  return {
    sources: sourcesOf(plan, locked, counted),
    workflows: workflowsOf(workflows),
    revoked: revokedOf(revoked),
  };
}

/**
 * The statements that share-lock source sessions, in key order, until the transaction ends, and count
 * how many rows there are to copy.
 *
 * Whoever changes a session's relations holds its row exclusively; so what is counted and copied
 * afterwards is one version of the session, although READ COMMITTED gives every statement a new
 * snapshot.
 */
export function selectSources(
  plan: ClonePlan,
  wanted: readonly SessionId[],
): readonly [Statement, Statement] {
  const ids = inKeyOrder([...new Set(wanted)], (id) => id);
  return [selectAndLock(plan.schema, ids), selectRowCounts(plan, ids)];
}

/** What {@link selectSources} has found, by session. */
export function sourcesOf(
  plan: ClonePlan,
  locked: readonly SourceRow[],
  counted: readonly RowCountRow[],
): ReadonlyMap<SessionId, Source> {
  const counts = rowCounts(plan, counted);
  const sources = new Map<SessionId, Source>();
  for (const { id: bytes, application_id: applicationId, status } of locked) {
    const id = fromBinary<SessionId>(bytes);
    const rows = counts.get(id);
    if (rows) sources.set(id, { applicationId: fromBinary(applicationId), status, rows });
  }
  return sources;
}

type RevokedRow = Readonly<Record<'id' | 'application_id', Buffer>>;

function selectRevoked(calls: readonly PlannedImport[]): Statement {
  const ids = calls.flatMap(({ request }) => shareTokenId(request) ?? []);
  return {
    sql: 'SELECT id, application_id FROM share_tokens WHERE id IN (?) AND revoked_at IS NOT NULL',
    // A list must not be empty; nothing equals null.
    bindings: [ids.length > 0 ? ids.map(toBinary) : [null]],
  };
}

function revokedOf(rows: readonly RevokedRow[]): ReadonlySet<RevocationKey> {
  return new Set(
    rows.map(
      ({ id, application_id: applicationId }): RevocationKey =>
        `${fromBinary<ApplicationId>(applicationId)}/${fromBinary<ShareTokenId>(id)}`,
    ),
  );
}

/** The id under which a call's token is recorded, if this service has made it. */
function shareTokenId({ grounds }: ImportRequest): ShareTokenId | undefined {
  const id = grounds.token?.id ?? null;
  return id !== null && isUuid(id) ? toId(id) : undefined;
}

function selectAndLock(schema: KindSchema, ids: readonly SessionId[]): Statement {
  return {
    // LOCK IN SHARE MODE is the spelling of FOR SHARE that MariaDB knows too. Without the index, the
    // plan for a small table would be a scan, which waits for the locks of unrelated sessions.
    sql: `SELECT id, application_id, status FROM ?? FORCE INDEX (PRIMARY)
          WHERE id IN (?) ORDER BY id LOCK IN SHARE MODE`,
    bindings: [schema.sessions, ids.map(toBinary)],
  };
}

/** What the facts say of a call. */
export type Verdict =
  | {
      readonly type: 'admitted';
      readonly source: Source;
      readonly workflow: Workflow;
      /** For the sessions of key people; null: they stay behind. */
      readonly linkedWorkflow: Workflow | null;
    }
  | { readonly type: 'refused'; readonly problem: Problem }
  /** An earlier try of this very call was committed; only its answer got lost. */
  | { readonly type: 'done before' }
  /** The same request was answered before, in another call. */
  | { readonly type: 'answered before'; readonly kept: KeptAnswer };

/** Judges a call by the order of `ErrorReason`: the first condition that applies refuses it. */
export function judge(call: PlannedImport, facts: Facts): Verdict {
  const { request, sessionId } = call;
  const { sourceSessionId, sourceApplicationId, workflowId, linkedWorkflowId, kind } = request;

  const existing = facts.ledger.get(ledgerKey(call));
  if (existing?.sessionId === sessionId && !request.remembered) return { type: 'done before' };
  if (existing) return judgeImported(call, existing);

  const tokenId = shareTokenId(request);
  if (tokenId !== undefined && facts.revoked.has(`${sourceApplicationId}/${tokenId}`)) {
    return refused({ reason: 'SHARE_TOKEN_REVOKED', shareTokenId: tokenId });
  }
  const source = facts.sources.get(sourceSessionId);
  if (source?.applicationId !== sourceApplicationId) {
    return refused({
      reason: 'SOURCE_SESSION_NOT_FOUND',
      kind,
      sourceSessionId,
      sourceApplicationId,
    });
  }
  const { status } = source;
  if (!finishedStatuses.has(status)) {
    return refused({ reason: 'SOURCE_SESSION_NOT_FINISHED', sourceSessionId, status });
  }

  const workflow = facts.workflows.get(workflowId);
  if (workflow?.applicationId !== request.applicationId) {
    return refused({ reason: 'WORKFLOW_NOT_FOUND', workflowId });
  }
  const linkedWorkflow = linkedWorkflowId === null ? null : facts.workflows.get(linkedWorkflowId);
  if (linkedWorkflowId !== null && linkedWorkflow?.applicationId !== request.applicationId) {
    return refused({ reason: 'WORKFLOW_NOT_FOUND', workflowId: linkedWorkflowId });
  }
  if (workflow.kind !== kind) return refused(kindMismatch(workflowId, workflow, kind));
  if (linkedWorkflowId !== null && linkedWorkflow && linkedWorkflow.kind !== 'user') {
    return refused(kindMismatch(linkedWorkflowId, linkedWorkflow, 'user'));
  }
  return { type: 'admitted', source, workflow, linkedWorkflow: linkedWorkflow ?? null };
}

function kindMismatch(
  workflowId: WorkflowId,
  { kind: workflowKind }: Workflow,
  sessionKind: SessionKind,
): Problem {
  return { reason: 'WORKFLOW_KIND_MISMATCH', workflowId, workflowKind, sessionKind };
}

/** Judges a call whose session has been imported. */
export function judgeImported(
  { request, sessionId }: PlannedImport,
  existing: LedgerEntry,
): Extract<Verdict, { type: 'refused' | 'answered before' }> {
  const recalled = recall(request.remembered, existing.kept);
  switch (recalled.type) {
    case 'same': {
      const own = existing.sessionId === sessionId;
      return { type: 'answered before', kept: { answer: recalled.answer, own } };
    }
    case 'reused':
      return refused({ reason: 'REQUEST_ID_REUSED' });
    case 'unrelated':
      return refused({
        reason: 'SESSION_ALREADY_IMPORTED',
        sessionId: existing.sessionId,
        sourceSessionId: request.sourceSessionId,
      });
  }
}

function refused(problem: Problem): Extract<Verdict, { type: 'refused' }> {
  return { type: 'refused', problem };
}
