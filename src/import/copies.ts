import { fromBinary, toBinary, type SessionId, type VendorEntityId } from '../db/ids';
import { read, write, type Binding } from '../db/query';
import type { ClonePlan, PlannedRelation } from './clone-plan';
import type { AdmittedImport, Transaction } from './planned-import';
import { carriedColumns, freshColumns, type FreshColumn, type KindSchema } from './relations';
import type { ClonedRows, SessionStatus } from './session';

/** The status that a copy starts with. */
export function statusOfCopy({ request, source }: AdmittedImport): SessionStatus {
  return request.trustReview ? source.status : 'In Review';
}

/** Inserts the new sessions; each names the session that it is a copy of. */
export async function insertSessions(
  trx: Transaction,
  schema: KindSchema,
  calls: readonly AdmittedImport[],
  vendorEntityOf: (call: AdmittedImport) => VendorEntityId | null,
): Promise<void> {
  const rows = calls.map((call) => freshValues(call, vendorEntityOf(call)));
  const row = `SELECT ${freshColumns.map((column) => `? AS ${column}`).join(', ')}`;
  // The new values as a derived table, so that the columns that cross over are copied by the server
  // and never leave it. A row constructor would be shorter (VALUES ROW), but MySQL alone has it.
  await write(
    trx,
    `INSERT INTO ?? (${[...freshColumns, ...carriedColumns].join(', ')})
     SELECT n.*, ${carriedColumns.map((column) => `o.${column}`).join(', ')}
     FROM (${rows.map(() => row).join(' UNION ALL ')}) n
     JOIN ?? o ON o.id = n.shared_from_session_id`,
    [
      schema.sessions,
      ...rows.flatMap((values) => freshColumns.map((column) => values[column])),
      schema.sessions,
    ],
  );
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

/**
 * Clones the rows of every relation, one statement each for all the sessions together.
 *
 * @returns the relations that had any rows.
 */
export async function cloneRelations(
  trx: Transaction,
  plan: ClonePlan,
  ids: readonly SessionId[],
): Promise<readonly PlannedRelation[]> {
  const filled: PlannedRelation[] = [];
  for (const relation of plan.relations) {
    const result = await write(trx, relation.cloneSql, [ids.map(toBinary)]);
    if (result.affectedRows > 0) filled.push(relation);
  }
  return filled;
}

/** How many rows one session has in one relation, and the ordinal after its last. */
interface RowCount {
  readonly rows: number;
  readonly nextOrdinal: number;
}

/** The rows of sessions, by session and by table. */
export type RowCounts = ReadonlyMap<SessionId, ReadonlyMap<string, RowCount>>;

/** Counts the rows that sessions have in the given relations, in one round trip. */
export async function countRows(
  trx: Transaction,
  relations: readonly PlannedRelation[],
  ids: readonly SessionId[],
): Promise<RowCounts> {
  const counts = new Map<SessionId, Map<string, RowCount>>(ids.map((id) => [id, new Map()]));
  if (relations.length === 0) return counts;
  interface Row {
    readonly relation: string;
    readonly session_id: Buffer;
    readonly row_count: number;
    readonly next_ordinal: number;
  }
  const one = `SELECT ? AS relation, session_id, COUNT(*) AS row_count, MAX(ordinal) + 1 AS next_ordinal
               FROM ?? WHERE session_id IN (?) GROUP BY session_id`;
  const rows = await read<Row>(
    trx,
    relations.map(() => one).join(' UNION ALL '),
    relations.flatMap(({ table }) => [table, table, ids.map(toBinary)]),
  );
  for (const row of rows) {
    counts
      .get(fromBinary<SessionId>(row.session_id))
      ?.set(row.relation, { rows: row.row_count, nextOrdinal: row.next_ordinal });
  }
  return counts;
}

/** The answer's list of relations, those without rows included. */
export function clonedRows(plan: ClonePlan, counts: RowCounts, id: SessionId): ClonedRows[] {
  return plan.relations.map(({ name, table }) => ({
    relation: name,
    rows: counts.get(id)?.get(table)?.rows ?? 0,
  }));
}

/** What the log of every copy says of where it came from. */
const importActivity = 'session_imported';

/** Appends to each copy's log that, and how, it was imported. */
export async function appendImportLogs(
  trx: Transaction,
  schema: KindSchema,
  calls: readonly AdmittedImport[],
  counts: RowCounts,
): Promise<void> {
  const rows = calls.map((call) => [
    toBinary(call.sessionId),
    counts.get(call.sessionId)?.get(schema.logs)?.nextOrdinal ?? 0,
    statusOfCopy(call),
    importActivity,
    'information',
    'Session imported',
    call.request.trustReview
      ? 'Imported from another application; its review was trusted.'
      : 'Imported from another application, to be reviewed again.',
    JSON.stringify({
      shared_from_session: call.request.sourceSessionId,
      shared_from_application: call.request.sourceApplicationId,
      original_status: call.source.status,
      trust_review: call.request.trustReview,
    }),
    call.createdAt,
    call.createdAt,
  ]);
  await write(
    trx,
    `INSERT INTO ?? (session_id, ordinal, status, activity_type, log_type, short_description,
       long_description, additional_data, created_at, updated_at)
     VALUES ?`,
    [schema.logs, rows],
  );
}
