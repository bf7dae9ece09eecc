import { Overtaken } from '../db/errors';
import { toBinary, type VendorEntityId } from '../model/ids';
import { writeTogether, type Binding, type Statement } from '../db/query';
import type { ClonePlan } from '../store/clone-plan';
import type { AdmittedImport, LinkedImport, Transaction } from './planned-import';
import {
  carriedColumns,
  freshColumns,
  type FreshColumn,
  type KindSchema,
} from '../model/relations';
import type {
  CopiedSession,
  ImportedSession,
  LinkedSession,
  SessionStatus,
} from '../model/session';
import type { VendorEntities } from '../store/vendor-entities';

/** The status that a copy starts with. */
export function statusOfCopy({ request, source }: AdmittedImport): SessionStatus {
  return request.trustReview ? source.status : 'In Review';
}

/** The session that a call makes, with those it takes along: all of it is known before it is made. */
export function sessionOf(call: AdmittedImport): ImportedSession {
  return { ...copyOf(call), linkedSessions: call.linked.map(linkedSessionOf) };
}

function linkedSessionOf(linked: LinkedImport): LinkedSession {
  return linked.type === 'to copy'
    ? { ...copyOf(linked.call), importedBefore: false }
    : { ...linked.copy, clonedRows: [], importedBefore: true };
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
 * rows of every relation, and the log entries.
 *
 * @param calls whose sessions are claimed, and whose sources are locked.
 * @throws Overtaken if not as many rows were copied as were counted: somebody has changed a source
 * without locking it. Not every such change shows; that nobody makes one is a rule for writers.
 */
export async function writeCopies(
  trx: Transaction,
  plan: ClonePlan,
  calls: readonly AdmittedImport[],
  entities: VendorEntities,
): Promise<void> {
  const { schema } = plan;
  const clones = cloneRelations(plan, calls);
  const before = [
    ...(entities.create ? [entities.create] : []),
    insertSessions(schema, calls, entities.idOf),
  ];
  const results = await writeTogether(trx, [
    ...before,
    ...clones.map(({ statement }) => statement),
    appendImportLogs(schema, calls),
  ]);
  for (const [index, { rows }] of clones.entries()) {
    if (results[before.length + index]?.affectedRows !== rows) {
      throw new Overtaken('a source session was changed by someone who had not locked it');
    }
  }
}

/** Inserts the new sessions; each names the session that it is a copy of. */
function insertSessions(
  schema: KindSchema,
  calls: readonly AdmittedImport[],
  vendorEntityOf: (call: AdmittedImport) => VendorEntityId | null,
): Statement {
  const rows = calls.map((call) => freshValues(call, vendorEntityOf(call)));
  const row = `SELECT ${freshColumns.map((column) => `? AS ${column}`).join(', ')}`;
  return {
    // The new values as a derived table, so that the columns that cross over are copied by the server
    // and never leave it. A row constructor would be shorter (VALUES ROW), but MySQL alone has it.
    sql: `INSERT INTO ?? (${[...freshColumns, ...carriedColumns].join(', ')})
          SELECT n.*, ${carriedColumns.map((column) => `o.${column}`).join(', ')}
          FROM (${rows.map(() => row).join(' UNION ALL ')}) n
          STRAIGHT_JOIN ?? o FORCE INDEX (PRIMARY) ON o.id = n.shared_from_session_id`,
    bindings: [
      schema.sessions,
      ...rows.flatMap((values) => freshColumns.map((column) => values[column])),
      schema.sessions,
    ],
  };
}

function freshValues(
  call: AdmittedImport,
  vendorEntityId: VendorEntityId | null,
): Record<FreshColumn, Binding> {
  const { request } = call;
  return {
    id: toBinary(call.sessionId),
    application_id: toBinary(request.applicationId),
    session_number: call.sessionNumber,
    session_token: call.sessionToken,
    status: statusOfCopy(call),
    workflow_id: toBinary(request.workflowId),
    workflow_version: call.workflow.version,
    vendor_entity_id: vendorEntityId === null ? null : toBinary(vendorEntityId),
    vendor_data: request.vendorData === null ? null : Buffer.from(request.vendorData, 'utf8'),
    shared_from_session_id: toBinary(request.sourceSessionId),
    shared_from_application_id: toBinary(request.sourceApplicationId),
    created_at: call.createdAt,
    updated_at: call.createdAt,
  };
}

/** A statement that clones the rows of a relation, and how many there are. */
interface Clone {
  readonly statement: Statement;
  readonly rows: number;
}

/** One statement for all the sessions together, for each relation in which any of them has rows. */
function cloneRelations(plan: ClonePlan, calls: readonly AdmittedImport[]): Clone[] {
  const ids = calls.map(({ sessionId }) => toBinary(sessionId));
  return plan.relations
    .map(({ cloneSql }, index) => ({
      statement: { sql: cloneSql, bindings: [ids] },
      rows: calls.reduce((sum, { source }) => sum + (source.rows.relations[index]?.rows ?? 0), 0),
    }))
    .filter(({ rows }) => rows > 0);
}

/** What the log of every copy says of where it came from. */
const importActivity = 'session_imported';

/**
 * Appends to each copy's log that, and how, it was imported. The place of the entry is that after the
 * last one which was copied, whatever was counted before.
 */
function appendImportLogs(schema: KindSchema, calls: readonly AdmittedImport[]): Statement {
  const columns = ['status', 'long_description', 'additional_data', 'created_at'];
  const row = `SELECT ? AS id, ${columns.map((column) => `? AS ${column}`).join(', ')}`;
  return {
    sql: `INSERT INTO ?? (session_id, ordinal, activity_type, log_type, short_description, updated_at,
            ${columns.join(', ')})
          SELECT n.id, (SELECT COALESCE(MAX(l.ordinal) + 1, 0) FROM ?? l WHERE l.session_id = n.id),
            ?, 'information', 'Session imported', n.created_at,
            ${columns.map((column) => `n.${column}`).join(', ')}
          FROM (${calls.map(() => row).join(' UNION ALL ')}) n`,
    bindings: [
      schema.logs,
      schema.logs,
      importActivity,
      ...calls.flatMap((call) => [
        toBinary(call.sessionId),
        statusOfCopy(call),
        call.request.trustReview
          ? 'Imported from another application; its review was trusted.'
          : 'Imported from another application, to be reviewed again.',
        JSON.stringify({
          shared_from_session: call.request.sourceSessionId,
          shared_from_application: call.request.sourceApplicationId,
          original_status: call.source.status,
          trust_review: call.request.trustReview,
          // A session that came by itself is linked to none: the entry is what it always was.
          linked_to_session: call.request.grounds.linkedTo ?? undefined,
        }),
        call.createdAt,
      ]),
    ],
  };
}
