import { Overtaken } from '../db/errors';
import type { Statement } from '../db/query';
import { must } from '../model/must';
import type {
  CopiedSession,
  ImportedSession,
  LinkedSession,
  SessionStatus,
} from '../model/session';
import { cloneRows, type ClonePlan } from '../store/relations/clone-plan';
import { appendImportLogs, type ImportLogEntry } from '../store/relations/logs';
import { markRedeemed } from '../store/share-tokens';
import { insertCopies, type NewCopy } from '../store/sessions/copies';
import { writeAndUse } from './connections';
import type { AdmittedImport, LinkedImport, Transaction } from './planned-import';
import type { VendorEntities } from './vendor-entities';

/** The status that a copy starts with. */
function statusOfCopy({ request, source }: AdmittedImport): SessionStatus {
  return request.trustReview ? source.status : 'In Review';
}

/** The session that a call creates, with its linked sessions: known before anything is created. */
export function sessionOf(call: AdmittedImport): ImportedSession {
  return { ...copyOf(call), linkedSessions: call.linked.map(linkedSessionOf) };
}

function linkedSessionOf(linked: LinkedImport): LinkedSession {
  return linked.type === 'to copy'
    ? { ...copyOf(linked.call), importedBefore: false }
    : { ...linked.copy, importedBefore: true };
}

function copyOf(call: AdmittedImport): CopiedSession {
  const { request, sessionId, sessionNumber, sessionToken, createdAt, source } = call;
  return {
    sessionId,
    sessionNumber,
    sessionToken,
    kind: request.kind,
    status: statusOfCopy(call),
    workflowId: request.workflowId,
    vendorData: request.vendorData,
    sourceSessionId: request.sourceSessionId,
    sourceApplicationId: request.sourceApplicationId,
    createdAt,
    clonedRows: source.rows.relations,
  };
}

/**
 * Makes the copies, in one round trip: the vendor entities that do not exist, the new sessions, the
 * rows of every relation, the log entries, and the marks of the share tokens and of the connections.
 *
 * @param calls whose sources are locked, and whose sessions are claimed: before, or by `claim`.
 * @param claim claims the sessions, and is run first. If it fails, nothing is copied.
 * @param last those of the calls whose transaction has nothing more to do than this: see `writeAndUse`.
 * @throws Overtaken if a connection of one of these calls has ended, or if the number of copied rows differs from the number of counted rows: somebody
 * has changed a source session without locking it. Not every such change is detected, so locking is
 * a rule for all writers.
 */
export async function writeCopies(
  trx: Transaction,
  plan: ClonePlan,
  calls: readonly AdmittedImport[],
  entities: VendorEntities,
  last: readonly AdmittedImport[],
  claim?: Statement,
): Promise<void> {
  const { schema } = plan;
  const clones = cloneRelations(plan, calls);
  const redeemed = calls.flatMap(({ redeems }) => redeems ?? []);
  const before = [
    ...(claim ? [claim] : []),
    ...(entities.create ? [entities.create] : []),
    insertCopies(
      schema,
      calls.map((call) => newCopyOf(call, entities)),
    ),
  ];
  const statements = [
    ...before,
    ...clones.map(({ statement }) => statement),
    appendImportLogs(schema, calls.map(logEntryOf)),
    ...(redeemed.length > 0 ? [markRedeemed(redeemed)] : []),
  ];
  const results = await writeAndUse(trx, statements, last);
  for (const [index, { rows }] of clones.entries()) {
    if (results[before.length + index]?.affectedRows !== rows) {
      throw new Overtaken('a source session was changed by someone who had not locked it');
    }
  }
}

function newCopyOf(call: AdmittedImport, entities: VendorEntities): NewCopy {
  return {
    ...copyOf(call),
    applicationId: call.request.applicationId,
    workflowVersion: call.workflow.version,
    vendorEntityId: entities.idOf(call),
  };
}

function logEntryOf(call: AdmittedImport): ImportLogEntry {
  const { request } = call;
  return {
    sessionId: call.sessionId,
    status: statusOfCopy(call),
    sourceSessionId: request.sourceSessionId,
    sourceApplicationId: request.sourceApplicationId,
    sourceStatus: call.source.status,
    trustReview: request.trustReview,
    linkedTo: request.permit.linkedTo,
    createdAt: call.createdAt,
  };
}

/** A statement that clones the rows of a relation, and how many there are. */
interface Clone {
  readonly statement: Statement;
  readonly rows: number;
}

/** One statement for all the sessions together, for each relation in which any of them has rows. */
function cloneRelations(plan: ClonePlan, calls: readonly AdmittedImport[]): Clone[] {
  const ids = calls.map(({ sessionId }) => sessionId);
  return plan.relations
    .map((relation, index) => ({
      statement: cloneRows(relation, ids),
      rows: calls.reduce((sum, { source }) => sum + countAt(source.rows.relations, index), 0),
    }))
    .filter(({ rows }) => rows > 0);
}

function countAt(counts: CopiedSession['clonedRows'], index: number): number {
  return must(counts[index], 'the count of a relation').rows;
}
