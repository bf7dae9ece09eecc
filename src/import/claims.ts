import { read } from '../db/query';
import {
  insertClaims,
  ledgerEntries,
  type LedgerEntry,
  type LedgerKey,
  type StoredRequest,
} from '../store/ledger/entries';
import { sessionOf } from './copies';
import { keyOf, type AdmittedImport, type Transaction } from './planned-import';

export interface Claims {
  /** The calls that may make their copy: nobody else can, until this transaction ends. */
  readonly won: readonly AdmittedImport[];
  /** The calls that came too late, each with the import that was made instead. */
  readonly lost: readonly { readonly call: AdmittedImport; readonly existing: LedgerEntry }[];
  /** The calls whose idempotency key was taken by another request in the meantime. */
  readonly reused: readonly AdmittedImport[];
}

/**
 * Claims the calls' sessions: inserts their entries into the ledger, in key order. If several
 * transactions claim the same session for the same application, the ledger's primary key lets one
 * insert. The others wait here until that transaction ends, and then find its entry. If several
 * calls of this group want the same copy, the first one claims it for all.
 *
 * @param calls none has an earlier try that was committed: `gatherFacts` has waited for its end.
 */
export async function claimSessions(
  trx: Transaction,
  calls: readonly AdmittedImport[],
): Promise<Claims> {
  const first = new Map<LedgerKey, AdmittedImport>();
  for (const call of calls) if (!first.has(keyOf(call))) first.set(keyOf(call), call);

  const entries = [...first].map(([key, call]) => ({
    key,
    call,
    entry: { sessionId: call.sessionId, request: storedRequestOf(call) },
  }));
  const entered = await insertClaims(
    trx,
    entries.map(({ call, entry }) => ({
      ...call.request,
      ...entry,
      sourceStatus: call.source.status,
      token: call.request.grounds.token,
      linkedTo: call.request.grounds.linkedTo,
      createdAt: call.createdAt,
    })),
  );
  const all = entered === entries.length;
  const ledger: ReadonlyMap<LedgerKey, LedgerEntry> = all
    ? new Map(entries.map(({ key, entry }) => [key, entry]))
    : await read(trx, ledgerEntries(entries.map(({ call }) => call.request)));

  const won: AdmittedImport[] = [];
  const lost: { call: AdmittedImport; existing: LedgerEntry }[] = [];
  const reused: AdmittedImport[] = [];
  for (const call of calls) {
    const existing = ledger.get(keyOf(call));
    if (existing === undefined) {
      if (!keyWasTaken(call, first))
        throw new Error('the ledger ignored a claim that nobody holds');
      reused.push(call);
    } else if (existing.sessionId !== call.sessionId) lost.push({ call, existing });
    else won.push(call);
  }
  return { won, lost, reused };
}

/** What the ledger keeps of a request and its answer; all null without an idempotency key. */
function storedRequestOf(call: AdmittedImport): StoredRequest {
  const { idempotency } = call.request;
  if (!idempotency) return { id: null, digest: null, answer: null };
  const { id, digest, encode } = idempotency;
  return { id, digest, answer: encode(sessionOf(call)) };
}

/**
 * Whether the ledger ignored a claim because its idempotency key was taken. No entry holds the
 * session, and all other unique values of an entry belong to one session, so only the idempotency
 * key can be in the way. Only the first call for a session was inserted. So this is known only of
 * calls with the same key as the first one; the others must be tried by themselves.
 */
function keyWasTaken(call: AdmittedImport, first: ReadonlyMap<LedgerKey, AdmittedImport>): boolean {
  const tried = first.get(keyOf(call))?.request.idempotency?.id;
  return tried !== undefined && tried === call.request.idempotency?.id;
}
