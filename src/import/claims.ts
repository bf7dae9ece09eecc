import { Overtaken } from '../db/errors';
import { toBinary } from '../model/ids';
import { write } from '../db/query';
import { sessionOf } from './copies';
import { ledgerKey, readLedger, type LedgerEntry, type LedgerKey } from './facts';
import type { KeptRow } from './idempotency';
import { inKeyOrder, type AdmittedImport, type Transaction } from './planned-import';

export interface Claims {
  /** The calls that may make their copy: nobody else can, until this transaction ends. */
  readonly won: readonly AdmittedImport[];
  /** The calls that came too late, each with the import that was made instead. */
  readonly lost: readonly { readonly call: AdmittedImport; readonly existing: LedgerEntry }[];
  /** The calls whose request id was taken by another request in the meantime. */
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
  for (const call of calls) if (!first.has(ledgerKey(call))) first.set(ledgerKey(call), call);
  const claimants = [...first.values()];

  const claims = claimants.map(claimOf);
  const entered = await enter(trx, claims);
  const ledger =
    entered === claims.length
      ? new Map(
          claims.map(({ call, kept }) => [ledgerKey(call), { sessionId: call.sessionId, kept }]),
        )
      : await readLedger(trx, claimants);

  const won: AdmittedImport[] = [];
  const lost: { call: AdmittedImport; existing: LedgerEntry }[] = [];
  const reused: AdmittedImport[] = [];
  for (const call of calls) {
    const existing = ledger.get(ledgerKey(call));
    if (existing === undefined) {
      if (!idWasTaken(call, first)) throw new Error('the ledger ignored a claim that nobody holds');
      reused.push(call);
    } else if (existing.sessionId !== call.sessionId) lost.push({ call, existing });
    else if (entered < claims.length && call.mayBeCommitted) throw new Overtaken('committed');
    else won.push(call);
  }
  return { won, lost, reused };
}

/** A call, and what is kept of its request and its answer: all null if the request has no id. */
interface Claim {
  readonly call: AdmittedImport;
  readonly kept: KeptRow;
}

function claimOf(call: AdmittedImport): Claim {
  const { remembered } = call.request;
  const kept = remembered
    ? {
        request_id: toBinary(remembered.id),
        request_digest: remembered.digest,
        answer: remembered.encode(sessionOf(call)),
      }
    : { request_id: null, request_digest: null, answer: null };
  return { call, kept };
}

/**
 * Whether a claim that the ledger has ignored, though nobody holds the session, was ignored for the id of
 * its request: what else is unique in an entry, is unique to its session. Of several calls for the
 * session, this can be said of those with the id that was tried; the others must try by themselves.
 */
function idWasTaken(call: AdmittedImport, first: ReadonlyMap<LedgerKey, AdmittedImport>): boolean {
  const tried = first.get(ledgerKey(call))?.request.remembered?.id;
  return tried !== undefined && tried === call.request.remembered?.id;
}

/** @returns how many entries are new. */
async function enter(trx: Transaction, claims: readonly Claim[]): Promise<number> {
  const entries = inKeyOrder(claims, ({ call }) => ledgerKey(call)).map(({ call, kept }) => [
    toBinary(call.request.applicationId),
    toBinary(call.request.sourceSessionId),
    toBinary(call.request.sourceApplicationId),
    call.request.kind,
    call.source.status,
    toBinary(call.sessionId),
    call.request.trustReview,
    call.request.actor.apiKeyId && toBinary(call.request.actor.apiKeyId),
    call.request.actor.gateway,
    call.request.grounds.token?.digest ?? null,
    call.request.grounds.token?.keyId ?? null,
    call.request.grounds.token?.id ?? null,
    call.request.grounds.linkedTo && toBinary(call.request.grounds.linkedTo),
    call.createdAt,
    kept.request_id,
    kept.request_digest,
    kept.answer,
  ]);
  const { affectedRows } = await write(
    trx,
    `INSERT IGNORE INTO session_imports
       (application_id, source_session_id, source_application_id, session_kind, source_status,
        session_id, trust_review, api_key_id, gateway, token_digest, token_key_id, token_id,
        linked_to_session_id, created_at, request_id, request_digest, answer)
     VALUES ?`,
    [entries],
  );
  return affectedRows;
}
