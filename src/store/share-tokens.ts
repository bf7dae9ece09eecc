import type { Database, MultiDatabase } from '../db/database';
import { Keyset, pageOf, type Page, type WantedPage } from '../db/cursor';
import {
  allOf,
  ifGiven,
  inList,
  query,
  read,
  select,
  sql,
  writeTogether,
  type Query,
  type Statement,
} from '../db/query';
import { inTransaction } from '../db/transaction';
import {
  firstIdOf,
  fromBinary,
  toBinary,
  type ApplicationId,
  type SessionId,
  type ShareTokenId,
} from '../model/ids';
import { newEvent, type EventFacts, type RecordedEvent } from '../model/events';
import type { Grounds } from '../model/grounds';
import { must } from '../model/must';
import { ServiceError } from '../model/problems';
import type { Scope } from '../model/scope';
import type { Actor, SessionKind } from '../model/session';
import { actorBindings, actorOf, type ActorRow } from './actor-columns';
import {
  groundsBindings,
  groundsColumns,
  groundsColumnsOf,
  groundsOf,
  type GroundsRow,
} from './grounds-columns';
import { recordEventIf } from './events/outbox';
import { joinRedemption, sessionWasImported } from './ledger/entries';
import { scopeColumn, scopeOf, storedScope, type ScopeRow } from './scope-column';

/** A share token as it is recorded: everything but the token itself. */
export interface ShareTokenRecord {
  readonly id: ShareTokenId;
  /** The source application. */
  readonly applicationId: ApplicationId;
  readonly sessionId: SessionId;
  readonly kind: SessionKind;
  readonly forApplicationId: ApplicationId;
  /** Whether the sessions behind key people are shared with it. */
  readonly linkedSessions: boolean;
  /** What is shared of the session, and of those of its key people. */
  readonly scope: Scope;
  /** Why the sharing is lawful; null: not said. */
  readonly grounds: Grounds | null;
  /** Who shared, on behalf of the source application. */
  readonly actor: Actor;
  readonly createdAt: Date;
  readonly expiresAt: Date;
}

/** A share token with its state. */
export interface ListedShareToken extends Omit<ShareTokenRecord, 'actor'> {
  /** Null: an operator has erased who shared it. */
  readonly actor: Actor | null;
  /** When an import was made with it; null: none was. */
  readonly redeemedAt: Date | null;
  /** When it was revoked; null: it was not. */
  readonly revokedAt: Date | null;
}

/**
 * The most live share tokens of a session: those that have neither expired nor been revoked. A session needs
 * few: it is shared with a few applications, and a token is valid for a day at most. The limit keeps revocations
 * short, which lock the session while they mark tokens.
 */
export const mostLiveTokens = 1_000;

/** The index that finds the tokens of a session that were not revoked, in the order of their expiry. */
const liveIndex = 'share_tokens_session_id_revoked_at_expires_at_index';

/**
 * Records a share token, unless its session has too many live ones. It is safe to retry, because the id
 * stays the same.
 *
 * The session is not locked: the lock would wait for imports, and imports would wait for it. So calls that
 * run at the same moment do not see each other's tokens, and may exceed the limit by as many as there are
 * connections for them.
 *
 * @throws ServiceError with TOO_MANY_SHARE_TOKENS if there are too many.
 */
export async function recordShareToken(db: MultiDatabase, share: ShareTokenRecord): Promise<void> {
  const inserted = await inTransaction(db, async (trx) => {
    const [token] = await writeTogether(trx, [
      insertShareToken(share),
      recordEventIf(
        sql('SELECT 1 FROM share_tokens WHERE id = ?', toBinary(share.id)),
        share.id,
        newEvent('share_token_created', share.createdAt, factsOf(share)),
      ),
    ]);
    return must(token, 'what was inserted').affectedRows > 0;
  });
  if (inserted) return;
  const { sessionId } = share;
  throw new ServiceError({ reason: 'TOO_MANY_SHARE_TOKENS', sessionId, limit: mostLiveTokens });
}

/** What events tell of a share token. */
export function factsOf(
  share: Pick<ShareTokenRecord, 'id' | 'applicationId' | 'sessionId' | 'kind' | 'forApplicationId'>,
): EventFacts {
  return {
    kind: share.kind,
    source: { application: share.applicationId, session: share.sessionId },
    recipient: { application: share.forApplicationId },
    token: share.id,
  };
}

function insertShareToken(share: ShareTokenRecord): Statement {
  const values = [
    toBinary(share.id),
    toBinary(share.applicationId),
    toBinary(share.sessionId),
    share.kind,
    toBinary(share.forApplicationId),
    share.linkedSessions,
    storedScope(share.scope),
    ...groundsBindings(share.grounds),
    ...actorBindings(share.actor),
    share.createdAt,
    share.expiresAt,
    false,
  ];
  return sql(
    // If an earlier try has recorded the token, one row is affected as well: mysql2 lets the server count
    // the rows that it has found (MySQL 8.4 manual, section 15.2.7.2).
    `INSERT INTO share_tokens
       (id, application_id, session_id, session_kind, for_application_id, linked_sessions, ${scopeColumn},
        ${groundsColumns.join(', ')}, api_key_id, gateway, created_at, expires_at, expiry_told)
     SELECT ? FROM DUAL
     WHERE (SELECT COUNT(*) FROM
             (SELECT 1 FROM share_tokens FORCE INDEX (${liveIndex})
              WHERE session_id = ? AND revoked_at IS NULL AND expires_at > ? AND id <> ?
              LIMIT ${mostLiveTokens}) live) < ${mostLiveTokens}
     ON DUPLICATE KEY UPDATE share_tokens.id = share_tokens.id`,
    values,
    toBinary(share.sessionId),
    share.createdAt,
    toBinary(share.id),
  );
}

type ListedRow = ActorRow &
  GroundsRow &
  ScopeRow &
  Readonly<
    Record<'id' | 'for_application_id', Buffer> &
      Record<'created_at' | 'expires_at', Date> &
      Record<'redeemed_at' | 'revoked_at', Date | null>
  > & {
    readonly session_kind: SessionKind;
    readonly linked_sessions: number;
  };

/** The order of a session's share tokens: the newest first, since their ids grow with time. */
export const shareTokenKeyset = new Keyset([{ name: 't.id', type: 'id' }], 'DESC');

/** Lists share tokens of a session, newest first. */
export async function listShares(
  db: Database,
  applicationId: ApplicationId,
  sessionId: SessionId,
  { size, after }: WantedPage,
): Promise<Page<ListedShareToken>> {
  const wanted = allOf(
    sql('t.session_id = ?', toBinary(sessionId)),
    sql('t.application_id = ?', toBinary(applicationId)),
    ifGiven(after, (cursor) => shareTokenKeyset.following(cursor)),
  );
  const found = await read(
    db,
    select<ListedRow>(
      `SELECT t.id, t.session_kind, t.for_application_id, t.linked_sessions, t.api_key_id, t.gateway,
              t.${scopeColumn}, ${groundsColumnsOf('t')},
              t.created_at, t.expires_at, t.revoked_at, i.created_at AS redeemed_at
       FROM share_tokens t LEFT JOIN ${joinRedemption}
       WHERE ${wanted.sql} ORDER BY ${shareTokenKeyset.orderBy} LIMIT ?`,
      [...wanted.bindings, size + 1],
    ),
  );
  const shares = found.map((row): ListedShareToken => ({
    id: fromBinary(row.id),
    applicationId,
    sessionId,
    kind: row.session_kind,
    forApplicationId: fromBinary(row.for_application_id),
    linkedSessions: row.linked_sessions === 1,
    scope: scopeOf(row),
    grounds: groundsOf(row),
    actor: actorOf(row),
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    redeemedAt: row.redeemed_at,
    revokedAt: row.revoked_at,
  }));
  return pageOf(shares, size, ({ id }) => [id]);
}

/** A session that share tokens were recorded for. */
export interface SharedSession {
  readonly sessionId: SessionId;
  readonly kind: SessionKind;
}

/** The session that an application has recorded a share token for. */
export async function findSharedSession(
  db: Database,
  applicationId: ApplicationId,
  by: { readonly shareTokenId: ShareTokenId } | { readonly sessionId: SessionId },
): Promise<SharedSession | undefined> {
  const named =
    'shareTokenId' in by
      ? sql('id = ?', toBinary(by.shareTokenId))
      : sql('session_id = ?', toBinary(by.sessionId));
  const [row] = await read(
    db,
    select<{ readonly session_id: Buffer; readonly session_kind: SessionKind }>(
      `SELECT session_id, session_kind FROM share_tokens
       WHERE ${named.sql} AND application_id = ? LIMIT 1`,
      [...named.bindings, toBinary(applicationId)],
    ),
  );
  return row && { sessionId: fromBinary(row.session_id), kind: row.session_kind };
}

/**
 * A share token's id with the application that made it: the same id of another application is
 * another token.
 */
export type ShareTokenKey = `${ApplicationId}/${ShareTokenId}`;

/** What an import needs to know about a recorded share token. */
export interface RecordedToken {
  readonly id: ShareTokenId;
  readonly revoked: boolean;
}

/** The given share tokens, as far as they are recorded. Those that were signed elsewhere are missing. */
export function recordedTokens(
  ids: readonly ShareTokenId[],
): Query<ReadonlyMap<ShareTokenKey, RecordedToken>> {
  type Row = Readonly<Record<'id' | 'application_id', Buffer>> & { readonly revoked: number };
  return query(
    {
      sql: `SELECT id, application_id, revoked_at IS NOT NULL AS revoked
            FROM share_tokens WHERE id IN (?)`,
      bindings: [inList(ids.map(toBinary))],
    },
    (found: Row[]) => {
      const tokens = new Map<ShareTokenKey, RecordedToken>();
      for (const row of found) {
        const id = fromBinary<ShareTokenId>(row.id);
        const source = fromBinary<ApplicationId>(row.application_id);
        tokens.set(`${source}/${id}`, { id, revoked: row.revoked === 1 });
      }
      return tokens;
    },
  );
}

/**
 * Marks share tokens as redeemed, after the transaction has entered their imports into the ledger.
 *
 * Nobody reads this mark: the ledger says what was redeemed. It only makes an import and a revocation write the same
 * row. So if they run on different nodes of a cluster, which do not share locks, only one of them is committed
 * (MySQL 8.4 manual, section 20.1.1.2; Galera documentation, "Certification-Based Replication").
 *
 * @param ids at least one.
 */
export function markRedeemed(ids: readonly ShareTokenId[]): Statement {
  return sql(
    `UPDATE share_tokens t STRAIGHT_JOIN ${joinRedemption}
     SET t.redeemed_at = i.created_at
     WHERE t.id IN (?)`,
    ids.map(toBinary),
  );
}

/** A share token that has expired, and of which the applications have not been told. */
export interface UntoldExpiry {
  readonly id: ShareTokenId;
  /** Undefined: there is nothing to tell, because the token was revoked, or the session was imported. */
  readonly event: RecordedEvent | undefined;
}

/**
 * How long after its expiry a token is told of, in seconds. A process whose clock is behind still takes it, and an
 * import that has verified it in time may still wait.
 */
const toldAfterExpiry = 60;

/** Share tokens that have expired a while ago, by the database's clock, without anybody being told, the oldest first. */
export function untoldExpiries(limit: number): Query<UntoldExpiry[]> {
  type Row = Readonly<
    Record<'id' | 'application_id' | 'session_id' | 'for_application_id', Buffer>
  > & {
    readonly session_kind: SessionKind;
    readonly expires_at: Date;
    readonly ended: number;
  };
  return query(
    sql(
      `SELECT s.id, s.application_id, s.session_id, s.session_kind, s.for_application_id, s.expires_at,
         s.revoked_at IS NOT NULL OR ${sessionWasImported} AS ended
       FROM share_tokens s FORCE INDEX (share_tokens_expiry_told_expires_at_index)
       WHERE s.expiry_told = 0 AND s.expires_at <= UTC_TIMESTAMP(6) - INTERVAL ${toldAfterExpiry} SECOND
       ORDER BY s.expires_at LIMIT ?`,
      limit,
    ),
    (rows: Row[]) =>
      rows.map((row) => {
        const id = fromBinary<ShareTokenId>(row.id);
        const facts = factsOf({
          id,
          applicationId: fromBinary(row.application_id),
          sessionId: fromBinary(row.session_id),
          kind: row.session_kind,
          forApplicationId: fromBinary(row.for_application_id),
        });
        const event = newEvent('share_token_expired', row.expires_at, facts);
        return { id, event: row.ended === 1 ? undefined : event };
      }),
  );
}

/** Says that the applications have been told of expired share tokens. @param ids at least one. */
export function markExpiryTold(ids: readonly ShareTokenId[]): Statement {
  return sql('UPDATE share_tokens SET expiry_told = 1 WHERE id IN (?)', ids.map(toBinary));
}

/**
 * The condition for tokens that had expired before a moment. Their ids begin with the time at which they were made,
 * which was before that. So the primary key finds them, and no further index is needed.
 */
function expiredBefore(before: Date): Statement {
  return sql('id < ? AND expires_at < ?', toBinary(firstIdOf(before)), before);
}

/** When the oldest share token on record was made; null: there is none. */
export function oldestShareToken(): Query<Date | null> {
  return query(
    sql('SELECT created_at FROM share_tokens ORDER BY id LIMIT 1'),
    ([row]: { readonly created_at: Date }[]) => row?.created_at ?? null,
  );
}

/** How many share tokens had expired before a moment. */
export function countOldShareTokens(before: Date): Query<number> {
  const old = expiredBefore(before);
  return query(
    sql(`SELECT COUNT(*) AS tokens FROM share_tokens WHERE ${old.sql}`, ...old.bindings),
    ([row]: { readonly tokens: number }[]) => must(row, 'a count').tokens,
  );
}

/**
 * Deletes share tokens that had expired before a moment, at most so many, the oldest first. The ledger keeps what it
 * has of those that were redeemed.
 */
export function deleteOldShareTokens(before: Date, limit: number): Statement {
  const old = expiredBefore(before);
  return sql(
    `DELETE FROM share_tokens WHERE ${old.sql} ORDER BY id LIMIT ?`,
    ...old.bindings,
    limit,
  );
}
