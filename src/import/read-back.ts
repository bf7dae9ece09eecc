import {
  fromBinary,
  toBinary,
  type ApplicationId,
  type SessionId,
  type WorkflowId,
} from '../model/ids';
import { readTogether } from '../db/query';
import type { ClonePlan } from '../store/clone-plan';
import type { Transaction } from './planned-import';
import { rowCounts, selectRowCounts, type RowCountRow } from '../store/row-counts';
import type { ClonedRows, CopiedSession, SessionStatus } from '../model/session';

interface CopyRow {
  readonly id: Buffer;
  readonly session_number: number;
  readonly session_token: string;
  readonly status: SessionStatus;
  readonly workflow_id: Buffer;
  readonly vendor_data: Buffer | null;
  readonly shared_from_session_id: Buffer;
  readonly shared_from_application_id: Buffer;
  readonly created_at: Date;
}

/**
 * Reads copies as they are now, with the rows that were cloned for them.
 *
 * @param ids sessions of the plan's kind, each of them a copy.
 * @returns by id; a copy that was deleted since is missing.
 */
export async function readBack(
  trx: Transaction,
  plan: ClonePlan,
  ids: readonly SessionId[],
): Promise<ReadonlyMap<SessionId, CopiedSession>> {
  if (ids.length === 0) return new Map();
  const { sessions, kind } = plan.schema;
  const [found, counted] = await readTogether<[CopyRow, RowCountRow]>(trx, [
    {
      sql: `SELECT id, session_number, session_token, status, workflow_id, vendor_data,
              shared_from_session_id, shared_from_application_id, created_at
            FROM ?? WHERE id IN (?)`,
      bindings: [sessions, ids.map(toBinary)],
    },
    selectRowCounts(plan, ids),
  ]);
  const counts = rowCounts(plan, counted);
  const copies = new Map<SessionId, CopiedSession>();
  for (const row of found) {
    const sessionId = fromBinary<SessionId>(row.id);
    copies.set(sessionId, {
      sessionId,
      sessionNumber: row.session_number,
      sessionToken: row.session_token,
      kind,
      status: row.status,
      workflowId: fromBinary<WorkflowId>(row.workflow_id),
      vendorData: row.vendor_data?.toString('utf8') ?? null,
      sourceSessionId: fromBinary<SessionId>(row.shared_from_session_id),
      sourceApplicationId: fromBinary<ApplicationId>(row.shared_from_application_id),
      createdAt: row.created_at,
      clonedRows: withoutImportLog(plan, counts.get(sessionId)?.relations ?? []),
    });
  }
  return copies;
}

/** The log entry that an import appends is not one that it cloned. */
function withoutImportLog(plan: ClonePlan, rows: readonly ClonedRows[]): readonly ClonedRows[] {
  const logs = plan.relations.find(({ table }) => table === plan.schema.logs)?.name;
  return rows.map((entry) =>
    entry.relation === logs ? { ...entry, rows: Math.max(0, entry.rows - 1) } : entry,
  );
}
