import type { ResultSetHeader } from 'mysql2';
import { Overtaken } from '../db/errors';
import type { Statement } from '../db/query';
import { slicesOf } from '../model/collections';
import { newEvent, type RecordedEvent } from '../model/events';
import { newId } from '../model/ids';
import { must } from '../model/must';
import { byScope, withheldBy } from '../model/scope';
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

/** Calls of one kind whose copies are made. */
export interface Copied {
  /** The plan for whole sessions. Calls that copy less have statements of their own. */
  readonly plan: ClonePlan;
  /** Their sources are locked, and their sessions are claimed: before, or by the claim that goes with the copies. */
  readonly calls: readonly AdmittedImport[];
  readonly entities: VendorEntities;
}

/**
 * Makes the copies, in one round trip (more if the calls have very many choices of relations): the vendor entities
 * that do not exist, the new sessions, the rows of every relation that is shared, the log entries, the marks of the
 * share tokens, the events, the links, and the marks of the connections. These must come last: nothing else may be
 * written before COMMIT.
 *
 * @param copied one item for each kind, and at least one call in all.
 * @param claim claims the sessions, and is run first. If it fails, nothing is copied. Undefined: they were claimed
 * before.
 * @param links statements that make the key people of copies point at the linked copies.
 * @throws Overtaken if a connection of one of these calls has ended. Also if the number of copied rows differs from the
 * number of counted rows, because somebody has changed a source session without locking it. Not every such change is
 * detected, so all writers have to lock.
 */
export async function writeCopies(
  trx: Transaction,
  copied: readonly Copied[],
  { claim, links }: { readonly claim: Statement | undefined; readonly links: readonly Statement[] },
): Promise<void> {
  const calls = copied.flatMap((one) => one.calls);
  const redeemed = calls.flatMap(({ redeems }) => redeems ?? []);
  const before = [claim, ...copied.map(({ entities }) => entities.create)];
  const after = [
    ...(redeemed.length > 0 ? [markRedeemed(redeemed)] : []),
    recordEvents(newId(), calls.map(eventOf)),
    ...links,
  ];
  const parts = copied.flatMap(copiesOfParts);
  const texts = [...slicesOf(parts, mostPartsTogether)];
  for (const [index, some] of texts.entries()) {
    const isLast = index === texts.length - 1;
    const writes: Write[] = [
      ...(index === 0 ? before.flatMap((statement) => (statement ? [{ statement }] : [])) : []),
      ...some.flat(),
      ...(isLast ? [...copied.map(importLogs), ...after.map((statement) => ({ statement }))] : []),
    ];
    const statements = writes.map(({ statement }) => statement);
    requireRows(writes, await writeAndUse(trx, statements, isLast ? calls : []));
  }
}

/** The copies of sessions and of their rows, for each choice of relations. */
function copiesOfParts({ plan, calls, entities }: Copied): readonly (readonly Write[])[] {
  return byScope(calls, ({ source }) => source.scope).map(({ scope, items }) => [
    {
      statement: insertCopies(
        plan.schema,
        scope,
        items.map((call) => newCopyOf(call, entities)),
      ),
    },
    ...cloneRelations(planWithin(plan, scope), items),
  ]);
}

/** The log entries about the imports. */
function importLogs({ plan: { schema }, calls }: Copied): Write {
  return { statement: appendImportLogs(schema, calls.map(logEntryOf)), rows: calls.length };
}

/** @throws Overtaken if statements have inserted other numbers of rows than were counted. */
function requireRows(writes: readonly Write[], results: readonly ResultSetHeader[]): void {
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
