import type { Database, TransactionOf } from '../../db/database';
import { inKeyOrder } from '../../db/key-order';
import { Keyset, type Page, type WantedPage } from '../../db/cursor';
import {
  allOf,
  ifGiven,
  inList,
  insertNew,
  query,
  select,
  sql,
  type Binding,
  type Query,
  type Statement,
} from '../../db/query';
import {
  fromBinary,
  toBinary,
  type ApplicationId,
  type ConnectionId,
  type RequestId,
  type SessionId,
} from '../../model/ids';
import type { AcceptanceRules } from '../../model/acceptance';
import type { Scope } from '../../model/scope';
import type { Actor, SessionKind, SessionStatus, TokenFingerprint } from '../../model/session';
import { storedRules } from '../acceptance';
import { actorBindings } from '../actor-columns';
import { groundsBindings, groundsColumns } from '../grounds-columns';
import { scopeColumn, storedScope } from '../scope-column';

/** What identifies an import in the ledger: the importing application and the source session. */
export interface Imported {
  readonly applicationId: ApplicationId;
  readonly sourceSessionId: SessionId;
}

/** The ledger's primary key, as text whose order is that of the key. */
export type LedgerKey = `${ApplicationId}/${SessionId}`;

/** The key of an import. */
export function ledgerKey({ applicationId, sourceSessionId }: Imported): LedgerKey {
  return `${applicationId}/${sourceSessionId}`;
}

/** The primary key of a row. */
export type KeyRow = Readonly<Record<'application_id' | 'source_session_id', Buffer>>;

/** The key of a row's import. */
export function keyOfRow(row: KeyRow): LedgerKey {
  return ledgerKey({
    applicationId: fromBinary(row.application_id),
    sourceSessionId: fromBinary(row.source_session_id),
  });
}

/** What is bound to an entry's primary key. */
export function keyBindings({ applicationId, sourceSessionId }: Imported): readonly Binding[] {
  return [toBinary(applicationId), toBinary(sourceSessionId)];
}

/** What an entry keeps of a request with an idempotency key; all null if it had none. */
export interface StoredRequest {
  readonly id: RequestId | null;
  /** SHA-256 of everything else that the request said; null too if an operator has erased it. */
  readonly digest: Buffer | null;
  /**
   * Its answer, as it went over the wire. Null too if an operator has erased it, or if the query did not
   * ask for it.
   */
  readonly answer: Buffer | null;
}

/** An import that was made. */
export interface LedgerEntry {
  readonly sessionId: SessionId;
  readonly request: StoredRequest;
}

type RequestRow = Readonly<Record<'request_id' | 'request_digest' | 'answer', Buffer | null>>;

function requestOf(row: RequestRow): StoredRequest {
  return {
    id: row.request_id && fromBinary(row.request_id),
    digest: row.request_digest,
    answer: row.answer,
  };
}

/** An import whose ledger entry is wanted, and the idempotency key of the request that wants it. */
export interface WantedImport extends Imported {
  readonly idempotency: { readonly id: RequestId } | null;
}

/**
 * The ledger entries of the given imports. Imports that were not made are missing. Answers can be large:
 * they are read only from entries whose idempotency key is that of one of the requests.
 */
export function ledgerEntries(
  wanted: readonly WantedImport[],
): Query<ReadonlyMap<LedgerKey, LedgerEntry>> {
  type Row = RequestRow & KeyRow & { readonly session_id: Buffer };
  const keys = wanted.map(keyBindings);
  const ids = wanted.flatMap(({ idempotency }) => (idempotency ? [toBinary(idempotency.id)] : []));
  const answer = ids.length > 0 ? answerToOneOf(ids) : sql('NULL');
  return query(
    {
      sql: `SELECT i.application_id, i.source_session_id, i.session_id, i.request_id, i.request_digest,
              ${answer.sql} AS answer
            FROM session_imports i FORCE INDEX (PRIMARY)
            WHERE (i.application_id, i.source_session_id) IN (?)`,
      bindings: [...answer.bindings, keys],
    },
    (found: Row[]) =>
      new Map(
        found.map((row) => [
          keyOfRow(row),
          { sessionId: fromBinary(row.session_id), request: requestOf(row) },
        ]),
      ),
  );
}

/**
 * SQL for the answer of the ledger entry `i`, if it was made by one of these requests. A subquery, because InnoDB
 * reads every column that an expression names, even if IF does not need it.
 */
function answerToOneOf(requestIds: readonly Buffer[]): Statement {
  return sql(
    `IF(i.request_id IN (?),
       (SELECT a.answer FROM session_imports a FORCE INDEX (PRIMARY)
        WHERE a.application_id = i.application_id AND a.source_session_id = i.source_session_id),
       NULL)`,
    requestIds,
  );
}

/** Waits for whoever is inserting the entries of some imports, and then share-locks the entries. */
export function shareLockLedgerEntries(wanted: readonly Imported[]): Query<object[]> {
  const keys = inKeyOrder(wanted, ledgerKey).map(keyBindings);
  return select(
    `SELECT 1 FROM session_imports FORCE INDEX (PRIMARY)
     WHERE (application_id, source_session_id) IN (?) LOCK IN SHARE MODE`,
    [inList(keys, [null, null])],
  );
}

/** A request that may have made an import: an application's idempotency key. */
export interface RequestKey {
  readonly applicationId: ApplicationId;
  readonly id: RequestId;
}

/** The stored requests of the given keys, in the order of the keys; undefined if none made an import. */
export function storedRequests(
  wanted: readonly RequestKey[],
): Query<readonly (StoredRequest | undefined)[]> {
  type Row = RequestRow & Readonly<Record<'application_id' | 'request_id', Buffer>>;
  const textOf = ({ applicationId, id }: RequestKey): string => `${applicationId}/${id}`;
  return query(
    sql(
      `SELECT application_id, request_id, request_digest, answer FROM session_imports
       WHERE (application_id, request_id) IN (?)`,
      wanted.map(({ applicationId, id }) => [toBinary(applicationId), toBinary(id)]),
    ),
    (found: Row[]) => {
      const stored = new Map(
        found.map((row) => {
          const key = {
            applicationId: fromBinary<ApplicationId>(row.application_id),
            id: fromBinary<RequestId>(row.request_id),
          };
          return [textOf(key), requestOf(row)];
        }),
      );
      return wanted.map((key) => stored.get(textOf(key)));
    },
  );
}

/** A claim: the entry of an import that is about to be made. */
export interface Claim extends Imported, LedgerEntry {
  readonly sourceApplicationId: ApplicationId;
  readonly kind: SessionKind;
  readonly sourceStatus: SessionStatus;
  /** When the source session was last changed: DATETIME(6) as text; null: at no valid date. */
  readonly sourceUpdatedAt: string | null;
  /** When the original was verified; null: nobody knows. */
  readonly verifiedAt: Date | null;
  /** The rules that the source session has met. */
  readonly acceptance: AcceptanceRules;
  /** The connection that it rests on; null: none was needed. */
  readonly connectionId: ConnectionId | null;
  /** What the copy gets of the source session. */
  readonly scope: Scope;
  readonly trustReview: boolean;
  readonly actor: Actor;
  /** Null: the session is linked to another import. */
  readonly token: TokenFingerprint | null;
  /** The copy of the business session that it is linked to; null: it is imported alone. */
  readonly linkedTo: SessionId | null;
  readonly createdAt: Date;
}

/** Inserts claims, in {@link claimOrder}. It fails, and inserts none, if a unique value of one of them is taken. */
export function insertClaims(claims: readonly Claim[]): Statement {
  return insertion('INSERT', claims);
}

/**
 * Inserts claims, in {@link claimOrder}. A claim that somebody else already holds is ignored.
 *
 * INSERT IGNORE only takes a shared lock on an entry that is there (MySQL 8.4 manual, section 17.7.3). ON
 * DUPLICATE KEY UPDATE would lock it exclusively, and all transactions that lose the claim for one session
 * would run one after another.
 *
 * @returns how many entries are new.
 * @throws Error if an entry does not fit into the table: the transaction must be rolled back.
 */
export async function insertFreeClaims(
  trx: TransactionOf<Database>,
  claims: readonly Claim[],
): Promise<number> {
  return insertNew(trx, insertion('INSERT IGNORE', claims));
}

/**
 * The order of claims. An import claims its own session first, and then the linked ones, in one statement or in two. So
 * two imports never wait for each other's claims.
 */
function claimOrder(claim: Claim): string {
  return `${claim.linkedTo === null ? 'own' : 'with'} ${ledgerKey(claim)}`;
}

function insertion(verb: 'INSERT' | 'INSERT IGNORE', claims: readonly Claim[]): Statement {
  const values = inKeyOrder(claims, claimOrder).map((claim) => [
    toBinary(claim.applicationId),
    toBinary(claim.sourceSessionId),
    toBinary(claim.sourceApplicationId),
    claim.kind,
    claim.sourceStatus,
    claim.sourceUpdatedAt,
    claim.verifiedAt,
    storedRules(claim.acceptance),
    claim.connectionId && toBinary(claim.connectionId),
    toBinary(claim.sessionId),
    claim.trustReview,
    ...actorBindings(claim.actor),
    claim.token?.digest ?? null,
    claim.token?.kid ?? null,
    claim.token?.jti ?? null,
    ...groundsBindings(claim.token?.grounds ?? null),
    storedScope(claim.scope),
    claim.linkedTo && toBinary(claim.linkedTo),
    claim.createdAt,
    claim.request.id && toBinary(claim.request.id),
    claim.request.digest,
    claim.request.answer,
  ]);
  return sql(
    `${verb} INTO session_imports
       (application_id, source_session_id, source_application_id, session_kind, source_status, source_updated_at,
        verified_at, acceptance, connection_id, session_id, trust_review, api_key_id, gateway, token_digest,
        token_key_id, token_id,
        ${groundsColumns.join(', ')}, ${scopeColumn}, linked_to_session_id, created_at, request_id, request_digest, answer)
     VALUES ?`,
    values,
  );
}

/** Replaces the answer that an entry keeps. */
export function updateAnswer(
  { applicationId, sourceSessionId }: Imported,
  answer: Buffer,
): Statement {
  return sql(
    'UPDATE session_imports SET answer = ? WHERE application_id = ? AND source_session_id = ?',
    answer,
    toBinary(applicationId),
    toBinary(sourceSessionId),
  );
}

/** What an entry keeps of a request: its idempotency key, and what was asked and answered. */
const nothingKept = 'm.request_id = NULL, m.request_digest = NULL, m.answer = NULL';

/**
 * Forgets what was answered to the request that made a copy: the answer has the secret URL of the copy. If it came
 * along with a business session, the answer was that session's. The idempotency key is forgotten as well, so a
 * repeated request gets SESSION_ALREADY_IMPORTED.
 */
export function forgetAnswers(copy: SessionId): readonly Statement[] {
  return [
    sql(`UPDATE session_imports m SET ${nothingKept} WHERE m.session_id = ?`, toBinary(copy)),
    sql(
      `UPDATE session_imports c STRAIGHT_JOIN session_imports m ON m.session_id = c.linked_to_session_id
       SET ${nothingKept} WHERE c.session_id = ?`,
      toBinary(copy),
    ),
  ];
}

/** An entry that keeps an answer. */
export interface KeptAnswer extends Imported {
  readonly createdAt: Date;
}

const answerKeyset = new Keyset([{ name: 'request_id', type: 'id' }], 'ASC');

/**
 * Answers that the ledger keeps for an application, whatever their age, in the order of their idempotency keys. Those
 * that were forgotten have no key, and are not looked at.
 */
export function keptAnswers(
  applicationId: ApplicationId,
  { size, after }: WantedPage,
): Query<Page<KeptAnswer>> {
  type Row = Readonly<{ source_session_id: Buffer; created_at: Date }>;
  const wanted = allOf(
    sql('application_id = ? AND request_id IS NOT NULL', toBinary(applicationId)),
    ifGiven(after, (cursor) => answerKeyset.following(cursor)),
  );
  return query(
    sql(
      `SELECT source_session_id, created_at, ${answerKeyset.select}
       FROM session_imports FORCE INDEX (session_imports_application_id_request_id_unique)
       WHERE ${wanted.sql} ORDER BY ${answerKeyset.orderBy} LIMIT ?`,
      ...[...wanted.bindings, size + 1],
    ),
    (rows: Row[]) =>
      answerKeyset.pageOf(rows, size, (row) => ({
        applicationId,
        sourceSessionId: fromBinary<SessionId>(row.source_session_id),
        createdAt: row.created_at,
      })),
  );
}

/** Forgets the answers of some entries, as {@link forgetAnswers} does. @param entries at least one. */
export function forgetAnswersOf(entries: readonly Imported[]): Statement {
  return sql(
    `UPDATE session_imports m FORCE INDEX (PRIMARY) SET ${nothingKept}
     WHERE (m.application_id, m.source_session_id) IN (?) AND m.request_id IS NOT NULL`,
    inKeyOrder(entries, ledgerKey).map(keyBindings),
  );
}

/**
 * The condition that the import of a ledger entry `i` was made with a share token `t`. A token's `jti` is
 * stored in its normal form. Release 0.1.0 stored it as it was written: in either case, and with or
 * without hyphens.
 */
const madeWith = `i.application_id = t.for_application_id AND i.source_session_id = t.session_id
  AND LOWER(i.token_id) IN (LOWER(HEX(t.id)), ${withHyphens('LOWER(HEX(t.id))')})`;

/** Joins the ledger entry `i` of the import that was made with a share token `t`. */
export const joinRedemption = `session_imports i FORCE INDEX (PRIMARY) ON ${madeWith}`;

/**
 * The same, for all imports of a session: there are as many as applications have imported it, which are fewer than it
 * may have tokens. So the ledger comes first, and finds each token by its id.
 */
export const redemptions = `session_imports i FORCE INDEX (session_imports_source_session_id_index)
  STRAIGHT_JOIN share_tokens t ON t.id = UNHEX(REPLACE(i.token_id, '-', '')) AND ${madeWith}`;

/** The condition that the recipient of a share token `s` has imported its session, by this token or another. */
export const sessionWasImported = `EXISTS (SELECT 1 FROM session_imports i FORCE INDEX (PRIMARY)
  WHERE i.application_id = s.for_application_id AND i.source_session_id = s.session_id)`;

/** SQL for a UUID in its text form, of its 32 digits. */
function withHyphens(digits: string): string {
  const parts = [
    [1, 8],
    [9, 4],
    [13, 4],
    [17, 4],
    [21, 12],
  ].map(([start, length]) => `SUBSTR(${digits}, ${start}, ${length})`);
  return `CONCAT_WS('-', ${parts.join(', ')})`;
}
