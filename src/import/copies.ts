import { Overtaken } from '../db/errors';
import type { Statement } from '../db/query';
import { newEvent, type RecordedEvent } from '../model/events';
import { newId } from '../model/ids';
import { must } from '../model/must';
import { byScope, withheldBy, type SameScope } from '../model/scope';
import type {
  CopiedSession,
  ImportedSession,
  LinkedSession,
  SessionStatus,
} from '../model/session';
import { recordEvents } from '../store/events/outbox';
import { cloneRows, planWithin, type ClonePlan } from '../store/relations/clone-plan';
import { appendImportLogs, type ImportLogEntry } from '../store/relations/logs';
import { markRedeemed } from '../store/share-tokens';
import { insertCopies, type NewCopy } from '../store/sessions/copies';
import { writeAndUse } from './connections';
import type { AdmittedImport, LinkedImport, Transaction } from './planned-import';
import { shareTokenIdOf } from './request';
import type { VendorEntities } from './vendor-entities';

/**
 * The most choices of relations whose copies are sent together. Each needs up to 16 KB of statements, so with more of
 * them these might not fit into 4 MiB, the lowest `max_allowed_packet` that the service accepts.
 */
const mostPartsTogether = 64;

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
    withheld: withheldBy(source.scope, request.kind),
  };
}

/**
 * Makes the copies, in one round trip (more if the calls have very many choices of relations): the vendor entities
 * that do not exist, the new sessions, the rows of every relation that is shared, the log entries, the marks of the
 * share tokens and of the connections, and the events.
 *
 * @param plan the plan for whole sessions. Calls that copy less have statements of their own.
 * @param calls whose sources are locked, and whose sessions are claimed: before, or by `claim`.
 * @param claim claims the sessions, and is run first. If it fails, nothing is copied.
 * @param last those of the calls whose transaction has nothing more to do than this: see `writeAndUse`.
 * @throws Overtaken if a connection of one of these calls has ended. Also if the number of copied rows differs from the
 * number of counted rows, because somebody has changed a source session without locking it. Not every such change is
 * detected, so all writers have to lock.
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
  const redeemed = calls.flatMap(({ redeems }) => redeems ?? []);
  const before = [...(claim ? [claim] : []), ...(entities.create ? [entities.create] : [])];
  const after: Write[] = [
    { statement: appendImportLogs(schema, calls.map(logEntryOf)), rows: calls.length },
    ...(redeemed.length > 0 ? [{ statement: markRedeemed(redeemed) }] : []),
    { statement: recordEvents(newId(), calls.map(eventOf)) },
  ];
  const parts = byScope(calls, ({ source }) => source.scope);
  for (let done = 0; done < parts.length; done += mostPartsTogether) {
    const some = parts.slice(done, done + mostPartsTogether);
    const isLast = done + mostPartsTogether >= parts.length;
    await writeParts(
      trx,
      plan,
      some,
      entities,
      done === 0 ? before : [],
      isLast ? after : [],
      isLast ? last : [],
    );
  }
}

/** Copies some parts: see {@link writeCopies}. */
async function writeParts(
  trx: Transaction,
  plan: ClonePlan,
  parts: readonly SameScope<AdmittedImport>[],
  entities: VendorEntities,
  before: readonly Statement[],
  after: readonly Write[],
  last: readonly AdmittedImport[],
): Promise<void> {
  const writes: Write[] = [
    ...before.map((statement) => ({ statement })),
    ...parts.map(({ scope, items }) => ({
      statement: insertCopies(
        plan.schema,
        scope,
        items.map((call) => newCopyOf(call, entities)),
      ),
    })),
    ...parts.flatMap(({ scope, items }) => cloneRelations(planWithin(plan, scope), items)),
    ...after,
  ];
  const statements = writes.map(({ statement }) => statement);
  const results = await writeAndUse(trx, statements, last);
  for (const [index, { rows }] of writes.entries()) {
    if (rows !== undefined && results[index]?.affectedRows !== rows) {
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
    ordinal: call.source.rows.nextLog,
  };
}

function eventOf(call: AdmittedImport): RecordedEvent {
  const { request, sessionId, createdAt, connectionId } = call;
  const token = shareTokenIdOf(request);
  return newEvent('session_imported', createdAt, {
    kind: request.kind,
    source: { application: request.sourceApplicationId, session: request.sourceSessionId },
    recipient: { application: request.applicationId, session: sessionId },
    ...(token && { token }),
    ...(connectionId && { connection: connectionId }),
  });
}

/** A statement, and how many rows it inserts if nobody has changed the sources. */
interface Write {
  readonly statement: Statement;
  /** Absent: that does not depend on the sources. */
  readonly rows?: number;
}

/** One statement for all the sessions together, for each relation in which any of them has rows. */
function cloneRelations(plan: ClonePlan, calls: readonly AdmittedImport[]): Required<Write>[] {
  const ids = calls.map(({ sessionId }) => sessionId);
  return cloneRows(plan.relations, ids)
    .map((statement, index) => ({
      statement,
      rows: calls.reduce((sum, { source }) => sum + countAt(source.rows.relations, index), 0),
    }))
    .filter(({ rows }) => rows > 0);
}

function countAt(counts: CopiedSession['clonedRows'], index: number): number {
  return must(counts[index], 'the count of a relation').rows;
}
