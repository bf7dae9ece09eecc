import { Overtaken } from '../db/errors';
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
 * Enters the calls into the ledger, in key order. Of all the transactions that claim one session for
 * one application, the ledger's primary key lets one through; the others wait here until that one
 * ends, and then find its entry. Of several calls in this group, the first stands for all.
 *
 * @throws Overtaken if an earlier try of one of the calls was still in its COMMIT when this one looked
 * at the ledger: its entry can't be told from a claim made just now.
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
    else if (!all && call.uncertain) throw new Overtaken('committed');
    else won.push(call);
  }
  return { won, lost, reused };
}

/** What is kept of a call's request and its answer: all null if the request has no idempotency key. */
function storedRequestOf(call: AdmittedImport): StoredRequest {
  const { idempotency } = call.request;
  if (!idempotency) return { id: null, digest: null, answer: null };
  const { id, digest, encode } = idempotency;
  return { id, digest, answer: encode(sessionOf(call)) };
}

/**
 * Whether a claim that the ledger has ignored, though nobody holds the session, was ignored for its
 * idempotency key: what else is unique in an entry, is unique to its session. Of several calls for the
 * session, this can be said of those with the key that was tried; the others must try by themselves.
 */
function keyWasTaken(call: AdmittedImport, first: ReadonlyMap<LedgerKey, AdmittedImport>): boolean {
  const tried = first.get(keyOf(call))?.request.idempotency?.id;
  return tried !== undefined && tried === call.request.idempotency?.id;
}
