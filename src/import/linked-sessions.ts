import { fromBinary, toBinary, type SessionId } from '../model/ids';
import { read, readTogether, write } from '../db/query';
import { claimSessions } from './claims';
import type { ClonePlan } from '../store/clone-plan';
import { sessionOf, writeCopies } from './copies';
import {
  ledgerKey,
  ledgerOf,
  selectLedger,
  selectSources,
  sourcesOf,
  type LedgerRow,
  type SourceRow,
  type Workflow,
} from './facts';
import {
  noNumber,
  planImport,
  type AdmittedImport,
  type LinkedImport,
  type PlannedImport,
  type Transaction,
} from './planned-import';
import { readBack } from './read-back';
import type { RowCountRow } from '../store/row-counts';
import { finishedStatuses, type ImportRequest, type LinkedSession } from '../model/session';
import type { SessionNumbers } from './number-leases';
import { planVendorEntities } from '../store/vendor-entities';

/**
 * Finds the sessions behind the key people of a business session, and locks those that may come along:
 * user sessions of the source application that are finished. What else a key person names stays behind.
 *
 * A call that takes others along is alone in its group: no two calls of a group want the same of them.
 *
 * @param plan that of user sessions.
 * @param call whose source session is locked.
 * @returns in the order of the key people, each session once. A session that was imported before, and
 * whose copy was deleted since, is not among them: it can't be imported again.
 */
export async function findLinkedSessions(
  trx: Transaction,
  plan: ClonePlan,
  call: PlannedImport,
  workflow: Workflow,
  numbers: SessionNumbers,
): Promise<readonly LinkedImport[]> {
  const ids = await sessionsOfKeyPeople(trx, call.request.sourceSessionId);
  if (ids.length === 0) return [];
  const named = ids.map((id) => ({ request: linkedRequest(call, id) }));
  const [locked, counted, entries] = await readTogether<[SourceRow, RowCountRow, LedgerRow]>(trx, [
    ...selectSources(plan, ids),
    selectLedger(named),
  ]);
  const sources = sourcesOf(plan, locked, counted);
  const ledger = ledgerOf(entries);

  const wanted = named.flatMap(({ request }) => {
    const source = sources.get(request.sourceSessionId);
    const mayBeCopied =
      source?.applicationId === request.sourceApplicationId && finishedStatuses.has(source.status);
    return mayBeCopied ? [{ request, source, entry: ledger.get(ledgerKey({ request })) }] : [];
  });
  const existing = wanted.flatMap(({ entry }) => (entry ? [entry.sessionId] : []));
  const copies = await readBack(trx, plan, existing);
  const missing = wanted.filter(({ entry }) => !entry).map(({ request }) => request);
  await planLinked(call, missing, numbers);

  return wanted.flatMap(({ request, source, entry }): LinkedImport[] => {
    const copy = entry && copies.get(entry.sessionId);
    if (copy) return [{ type: 'imported before', copy }];
    const planned = call.linkedPlans.get(request.sourceSessionId);
    if (entry || !planned) return [];
    return [{ type: 'to copy', call: { ...planned, source, workflow, linked: [] } }];
  });
}

/** The sessions that the key people of a business session name, in their order, each once. */
async function sessionsOfKeyPeople(trx: Transaction, id: SessionId): Promise<SessionId[]> {
  const rows = await read<{ readonly kyc_session_id: Buffer }>(
    trx,
    `SELECT kyc_session_id FROM business_key_people FORCE INDEX (PRIMARY)
     WHERE session_id = ? AND kyc_session_id IS NOT NULL ORDER BY check_ordinal, ordinal`,
    [toBinary(id)],
  );
  return [...new Set(rows.map((row) => fromBinary<SessionId>(row.kyc_session_id)))];
}

/** The import of a key person's session, as one that the given call takes along. */
function linkedRequest({ request, sessionId }: PlannedImport, id: SessionId): ImportRequest {
  return {
    ...request,
    kind: 'user',
    sourceSessionId: id,
    grounds: { token: null, linkedTo: sessionId },
    workflowId: request.linkedWorkflowId ?? request.workflowId,
    linkedWorkflowId: null,
    vendorData: null,
    remembered: null,
  };
}

/** Plans what no try has planned before: like the call's own, the ids stay the same from try to try. */
async function planLinked(
  call: PlannedImport,
  requests: readonly ImportRequest[],
  numbers: SessionNumbers,
): Promise<void> {
  const unplanned = requests.filter(
    ({ sourceSessionId }) => !call.linkedPlans.has(sourceSessionId),
  );
  const taken = call.request.validateOnly
    ? unplanned.map(() => noNumber)
    : await numbers.take(unplanned.map(({ applicationId }) => applicationId));
  for (const [index, request] of unplanned.entries()) {
    const number = taken[index];
    if (typeof number !== 'number') throw number ?? new Error('no session numbers were leased');
    call.linkedPlans.set(request.sourceSessionId, planImport(request, number));
  }
}

/**
 * Claims the linked sessions of a call that has claimed its own. Who finds one claimed by somebody
 * else, who was faster, takes that one's copy.
 *
 * @returns the call with its linked sessions as they stand now.
 */
export async function claimLinkedSessions(
  trx: Transaction,
  plan: ClonePlan,
  call: AdmittedImport,
): Promise<AdmittedImport> {
  const claimants = toCopy(call);
  if (claimants.length === 0) return call;
  const { lost } = await claimSessions(trx, claimants);
  if (lost.length === 0) return call;

  const copies = await readBack(
    trx,
    plan,
    lost.map(({ existing }) => existing.sessionId),
  );
  const winners = new Map(lost.map((one) => [one.call.sessionId, one.existing.sessionId]));
  const linked = call.linked.flatMap((one): LinkedImport[] => {
    const winner = one.type === 'to copy' ? winners.get(one.call.sessionId) : undefined;
    if (winner === undefined) return [one];
    const copy = copies.get(winner);
    return copy ? [{ type: 'imported before', copy }] : [];
  });
  const settled = { ...call, linked };
  await correctAnswer(trx, settled);
  return settled;
}

/** The answer was kept with the call's own claim, as if it would win all others. */
async function correctAnswer(trx: Transaction, call: AdmittedImport): Promise<void> {
  const { applicationId, sourceSessionId, remembered } = call.request;
  if (!remembered) return;
  await write(
    trx,
    'UPDATE session_imports SET answer = ? WHERE application_id = ? AND source_session_id = ?',
    [remembered.encode(sessionOf(call)), toBinary(applicationId), toBinary(sourceSessionId)],
  );
}

/**
 * Copies the linked sessions that were claimed, and makes the key people of the copied business session
 * point at them, and at those that were there before.
 */
export async function copyLinkedSessions(
  trx: Transaction,
  plan: ClonePlan,
  call: AdmittedImport,
): Promise<void> {
  if (call.linked.length === 0) return;
  const claimed = toCopy(call);
  if (claimed.length > 0) {
    await writeCopies(trx, plan, claimed, planVendorEntities(plan.schema, claimed, new Map()));
  }
  const copyOf = new Map(
    call.linked.map((one) =>
      one.type === 'to copy'
        ? [one.call.request.sourceSessionId, one.call.sessionId]
        : [one.copy.sourceSessionId, one.copy.sessionId],
    ),
  );
  const originals = [...copyOf.keys()].map(toBinary);
  await write(
    trx,
    `UPDATE business_key_people FORCE INDEX (PRIMARY)
     SET kyc_session_id = CASE source_kyc_session_id ${originals.map(() => 'WHEN ? THEN ?').join(' ')} END
     WHERE session_id = ? AND source_kyc_session_id IN (?)`,
    [
      ...[...copyOf].flatMap(([original, copy]) => [toBinary(original), toBinary(copy)]),
      toBinary(call.sessionId),
      originals,
    ],
  );
}

function toCopy(call: AdmittedImport): AdmittedImport[] {
  return call.linked.flatMap((one) => (one.type === 'to copy' ? [one.call] : []));
}

/** What an earlier try of a call has left in the place of its linked sessions. */
export async function readBackLinked(
  trx: Transaction,
  plan: ClonePlan,
  call: PlannedImport,
): Promise<readonly LinkedSession[]> {
  if (call.request.linkedWorkflowId === null) return [];
  const ids = await sessionsOfKeyPeople(trx, call.sessionId);
  const copies = await readBack(trx, plan, ids);
  const own = new Set([...call.linkedPlans.values()].map(({ sessionId }) => sessionId));
  return ids.flatMap((id): LinkedSession[] => {
    const copy = copies.get(id);
    if (!copy) return [];
    return own.has(id)
      ? [{ ...copy, importedBefore: false }]
      : [{ ...copy, clonedRows: [], importedBefore: true }];
  });
}
