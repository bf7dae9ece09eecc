import { duplicateKey } from '../db/errors';
import { read, type Statement } from '../db/query';
import {
  insertClaims,
  insertFreeClaims,
  ledgerEntries,
  type Claim,
  type LedgerEntry,
  type LedgerKey,
  type StoredRequest,
} from '../store/ledger/entries';
import { sessionOf } from './copies';
import { keyOf, linkedCopies, type AdmittedImport, type Transaction } from './planned-import';

export interface Claims {
  /** The calls that may make their copy. Nobody else can make it until this transaction ends. */
  readonly won: readonly AdmittedImport[];
  /** The calls whose session another import has claimed first, each with that import. */
  readonly lost: readonly { readonly call: AdmittedImport; readonly existing: LedgerEntry }[];
  /** The calls whose idempotency key was taken by another request in the meantime. */
  readonly reused: readonly AdmittedImport[];
}

/**
 * Claims the calls' sessions and their linked sessions, and makes all copies in the same round trip. This nearly
 * always succeeds, because rarely somebody else wants one of these sessions. If one is claimed already, all claims
 * fail, and no copy is made.
 *
 * @param makeCopies runs the given statement, and after it makes the copies of the calls, in one round trip.
 * @returns undefined if one of the claims is taken. Nothing was written then: see {@link claimSessions}.
 */
export async function claimWithCopies(
  trx: Transaction,
  calls: readonly AdmittedImport[],
  makeCopies: (claimants: readonly AdmittedImport[], claim: Statement) => Promise<void>,
): Promise<Claims | undefined> {
  const first = firstForEach(calls);
  const claimants = [...first.values()];
  try {
    const all = claimants.flatMap((call) => [call, ...linkedCopies(call)]);
    await makeCopies(claimants, insertClaims(all.map(claimOf)));
  } catch (error) {
    if (duplicateKey(error) === undefined) throw error;
    // If the ledger has one of these claims, all of them were inserted: the duplicate was in one of the copies.
    const ledger = await read(trx, ledgerEntries(claimants.map(({ request }) => request)));
    if (claimants.some((call) => ledger.get(keyOf(call))?.sessionId === call.sessionId))
      throw error;
    return undefined;
  }
  return claimsOf(calls, first, entriesOf(first));
}

/**
 * Claims the calls' sessions: inserts their entries into the ledger, in key order. If several
 * transactions claim the same session for the same application, the ledger's primary key lets one
 * insert. The others wait here until that transaction ends, and then find its entry. If several
 * calls of this group want the same copy, the first one claims it for all.
 *
 * @param calls none has an earlier attempt that was committed: `gatherFacts` has made sure of that.
 */
export async function claimSessions(
  trx: Transaction,
  calls: readonly AdmittedImport[],
): Promise<Claims> {
  const first = firstForEach(calls);
  const claimants = [...first.values()];
  const entered = await insertFreeClaims(trx, claimants.map(claimOf));
  const ledger =
    entered === claimants.length
      ? entriesOf(first)
      : // With the requests of all calls: an answer is only read if the request that it belongs to is among them.
        await read(trx, ledgerEntries(calls.map(({ request }) => request)));
  return claimsOf(calls, first, ledger);
}

type Firsts = ReadonlyMap<LedgerKey, AdmittedImport>;

/** The first call for each import, which claims it for all. */
function firstForEach(calls: readonly AdmittedImport[]): Firsts {
  const first = new Map<LedgerKey, AdmittedImport>();
  for (const call of calls) if (!first.has(keyOf(call))) first.set(keyOf(call), call);
  return first;
}

function entriesOf(first: Firsts): ReadonlyMap<LedgerKey, LedgerEntry> {
  return new Map(
    [...first].map(([key, call]) => [
      key,
      { sessionId: call.sessionId, request: storedRequestOf(call) },
    ]),
  );
}

/** Properties are copied by name, which is much faster than with spread syntax. */
function claimOf(call: AdmittedImport): Claim {
  const { applicationId, sourceSessionId, sourceApplicationId, kind, trustReview, actor } =
    call.request;
  return {
    applicationId,
    sourceSessionId,
    sourceApplicationId,
    kind,
    trustReview,
    actor,
    sessionId: call.sessionId,
    request: storedRequestOf(call),
    sourceStatus: call.source.status,
    sourceUpdatedAt: call.source.updatedAt,
    verifiedAt: call.source.verifiedAt,
    acceptance: call.rules,
    connectionId: call.connectionId,
    scope: call.source.scope,
    token: call.request.permit.token,
    linkedTo: call.request.permit.linkedTo,
    createdAt: call.createdAt,
  };
}

/** Who has won, by the ledger as it is after the claims. */
function claimsOf(
  calls: readonly AdmittedImport[],
  first: Firsts,
  ledger: ReadonlyMap<LedgerKey, LedgerEntry>,
): Claims {
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
 * Whether the ledger ignored a claim because its idempotency key was taken. No entry has the session,
 * and all other unique values of an entry belong to one session, so only the idempotency key can be
 * the duplicate. Only the first call for a session was inserted. So this is known only for calls with
 * the same key as the first one; the others must be tried by themselves.
 */
function keyWasTaken(call: AdmittedImport, first: Firsts): boolean {
  const tried = first.get(keyOf(call))?.request.idempotency?.id;
  return tried !== undefined && tried === call.request.idempotency?.id;
}
