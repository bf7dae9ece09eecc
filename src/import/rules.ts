import type {
  ApplicationId,
  ConnectionId,
  SessionId,
  ShareTokenId,
  VendorEntityId,
  WorkflowId,
} from '../model/ids';
import type { AcceptanceRules } from '../model/acceptance';
import type { ActiveConnection } from '../model/connection';
import { judgeConnection } from '../model/connection-rules';
import type { Problem } from '../model/problems';
import { finishedStatuses, type SessionKind } from '../model/session';
import type { Workflow } from '../store/accounts';
import { pairKey, type PairKey } from '../store/connections/active';
import type { LedgerEntry, LedgerKey } from '../store/ledger/entries';
import type { LargeBytes } from '../store/relations/count';
import type { ExpiredDocuments } from '../store/relations/expired-documents';
import type { NamedSessions } from '../store/relations/key-people';
import type { Ownership } from '../store/sessions/lock';
import type { RecordedToken, ShareTokenKey } from '../store/share-tokens';
import type { VendorKey } from '../store/vendor-entities';
import { judgeSession, notMet, rulesFor, type Violations } from './acceptance';
import { compareRequests } from './idempotency';
import { keyOf, type PlannedImport, type Source } from './planned-import';
import { pairOf, shareTokenIdOf, type ImportResult } from './request';
import type { FilledDetails } from './required-details';
import { partKey, partOf, type PartKey } from './source-parts';

/** What the database says about the calls of a group. */
export interface Facts {
  /** The copies that exist, or existed, by importing application and source session. */
  readonly ledger: ReadonlyMap<LedgerKey, LedgerEntry>;
  readonly workflows: ReadonlyMap<WorkflowId, Workflow>;
  /** Those vendor entities that the calls name and that exist. */
  readonly vendorEntities: ReadonlyMap<VendorKey, VendorEntityId>;
  /** Whose the source sessions are, and what these applications have of them. */
  readonly owners: ReadonlyMap<SessionId, Ownership>;
  /** What is copied of source sessions. They are locked until the transaction ends: nobody changes them meanwhile. */
  readonly sources: ReadonlyMap<PartKey, Source>;
  /** The source sessions that were not locked because somebody else holds them, with their applications. */
  readonly heldSources: ReadonlyMap<SessionId, ApplicationId>;
  /** The large values of source sessions, for those that were measured. */
  readonly measured: ReadonlyMap<SessionId, LargeBytes>;
  /**
   * How many bytes the database takes in one transaction; Infinity unless the group has one call, whose session was
   * measured.
   */
  readonly mostBytes: number;
  /** The expired documents in what is copied; read only for calls with rules about documents. */
  readonly expired: ReadonlyMap<PartKey, ExpiredDocuments>;
  /** The sessions that have details; read only for calls with rules that require them. */
  readonly details: FilledDetails;
  /**
   * The source application's sessions that key people of the source name; empty unless the call includes linked
   * sessions. `too many`: over {@link maxLinkedSessions}.
   */
  readonly named: NamedSessions | 'too many';
  /** The share tokens of the calls, as far as they are recorded. */
  readonly shareTokens: ReadonlyMap<ShareTokenKey, RecordedToken>;
  /** The active connections of the applications; read only for calls that need one. */
  readonly connections: ReadonlyMap<PairKey, ActiveConnection>;
}

/** The decision about a call that makes no copy. */
export type Settled =
  | { readonly type: 'refused'; readonly problem: Problem }
  | Extract<ImportResult, { type: 'imported' | 'replayed' }>;

/** The decision about a call, by the facts. */
export type Verdict =
  | Settled
  /** Somebody else holds the source session: no decision before it is locked. */
  | { readonly type: 'locked' }
  | {
      readonly type: 'admitted';
      readonly source: Source;
      readonly workflow: Workflow;
      /** For the sessions of key people; null: they are not imported. */
      readonly linkedWorkflow: Workflow | null;
      /** The connection that it rests on; null: it needs none. */
      readonly connectionId: ConnectionId | null;
      /** The recorded share token that it redeems; null: its token was signed elsewhere. */
      readonly redeems: ShareTokenId | null;
      /** The rules for acceptance that apply to the source. */
      readonly rules: AcceptanceRules;
      /**
       * The source's violations of the rules for acceptance. Only a call with linked sessions is admitted with
       * violations: it is refused once those of its linked sessions are known, too.
       */
      readonly violations: Violations;
    };

/** Checks the conditions in the order of `ErrorReason`: the first that applies refuses the call. */
export function judge(call: PlannedImport, facts: Facts): Verdict {
  const { request } = call;
  const { sourceSessionId, sourceApplicationId, workflowId, linkedWorkflowId, kind } = request;

  const existing = facts.ledger.get(keyOf(call));
  if (existing) return judgeImported(call, existing);

  const tokenId = shareTokenIdOf(request);
  const recorded =
    tokenId === undefined ? undefined : facts.shareTokens.get(`${sourceApplicationId}/${tokenId}`);
  if (recorded?.revoked) {
    return refused({ reason: 'SHARE_TOKEN_REVOKED', shareTokenId: recorded.id });
  }
  const { asked } = request;
  const pair = pairOf(request);
  const connection = asked ? facts.connections.get(pairKey(pair)) : undefined;
  const unconnected = asked && judgeConnection(pair, connection, asked, call.createdAt);
  if (unconnected) return refused(unconnected);
  if (facts.heldSources.get(sourceSessionId) === sourceApplicationId) return { type: 'locked' };
  const part = partKey(partOf(request, facts.owners));
  const source = facts.sources.get(part);
  if (source?.applicationId !== sourceApplicationId) {
    return refused({
      reason: 'SOURCE_SESSION_NOT_FOUND',
      kind,
      sourceSessionId,
      sourceApplicationId,
    });
  }
  if (source.withdrawn) return refused({ reason: 'SOURCE_SESSION_WITHDRAWN', sourceSessionId });
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
  const rules = rulesFor(request, workflow);
  const violations = judgeSession(call, source, rules, facts.expired.get(part), facts.details);
  if (linkedWorkflow === null && violations.count > 0)
    return refused(notMet(call, rules, violations));
  return {
    type: 'admitted',
    source,
    workflow,
    linkedWorkflow: linkedWorkflow ?? null,
    connectionId: connection?.id ?? null,
    redeems: recorded?.id ?? null,
    rules,
    violations,
  };
}

function kindMismatch(
  workflowId: WorkflowId,
  { kind: workflowKind }: Workflow,
  sessionKind: SessionKind,
): Problem {
  return { reason: 'WORKFLOW_KIND_MISMATCH', workflowId, workflowKind, sessionKind };
}

/** Judges a call whose session has been imported: by one of its own tries, or by another call. */
export function judgeImported(
  { request, sessionId, possiblyCommitted }: PlannedImport,
  existing: LedgerEntry,
): Settled {
  if (existing.sessionId === sessionId && possiblyCommitted) {
    return { type: 'imported', session: possiblyCommitted };
  }
  const compared = compareRequests(request.idempotency, existing.request);
  switch (compared.type) {
    case 'same':
      return { type: 'replayed', answer: compared.answer };
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

function refused(problem: Problem): Settled {
  return { type: 'refused', problem };
}
