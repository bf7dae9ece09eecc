import type { Knex } from 'knex';
import {
  fromBinary,
  toBinary,
  type ApiKeyId,
  type ApplicationId,
  type SessionId,
  type ShareTokenId,
} from '../model/ids';
import { read, write, writeTogether, type Binding, type Statement } from '../db/query';
import { kindSchemas } from '../model/relations';
import { sessionKinds, type Actor, type SessionKind, type SessionStatus } from '../model/session';

/** A share token as it is recorded: everything but the token itself. */
export interface ShareRecord {
  readonly id: ShareTokenId;
  /** The source application. */
  readonly applicationId: ApplicationId;
  readonly sessionId: SessionId;
  readonly kind: SessionKind;
  readonly forApplicationId: ApplicationId;
  /** Whether the sessions behind key people are shared with it. */
  readonly linkedSessions: boolean;
  /** Who shared, on behalf of the source application. */
  readonly actor: Actor;
  readonly createdAt: Date;
  readonly expiresAt: Date;
}

/** What has become of a share token. */
export interface ListedShare extends ShareRecord {
  /** When an import was made with it; null: none was. */
  readonly redeemedAt: Date | null;
  /** When it was taken back; null: it was not. */
  readonly revokedAt: Date | null;
}

/** A session of an application, as far as it matters whether it may be shared. */
export interface OwnSession {
  readonly kind: SessionKind;
  readonly status: SessionStatus;
}

/**
 * Finds a session of an application. For another application's, it takes the same path as for an id
 * that nobody has.
 */
export async function findOwnSession(
  db: Knex,
  applicationId: ApplicationId,
  id: SessionId,
): Promise<OwnSession | undefined> {
  const selects = sessionKinds.map(
    (kind) => `SELECT '${kind}' AS kind, status FROM ?? WHERE id = ? AND application_id = ?`,
  );
  const [session] = await read<OwnSession>(
    db,
    selects.join(' UNION ALL '),
    sessionKinds.flatMap((kind): Binding[] => [
      kindSchemas[kind].sessions,
      toBinary(id),
      toBinary(applicationId),
    ]),
  );
  return session;
}

/** Records a share token. To be repeated without harm: its id is its own. */
export async function recordShare(db: Knex, share: ShareRecord): Promise<void> {
  await write(
    db,
    `INSERT IGNORE INTO share_tokens
       (id, application_id, session_id, session_kind, for_application_id, linked_sessions, api_key_id,
        gateway, created_at, expires_at)
     VALUES (?)`,
    [
      [
        toBinary(share.id),
        toBinary(share.applicationId),
        toBinary(share.sessionId),
        share.kind,
        toBinary(share.forApplicationId),
        share.linkedSessions,
        share.actor.apiKeyId && toBinary(share.actor.apiKeyId),
        share.actor.gateway,
        share.createdAt,
        share.expiresAt,
      ],
    ],
  );
}

type ListedRow = Readonly<
  Record<'id' | 'for_application_id', Buffer> &
    Record<'created_at' | 'expires_at', Date> &
    Record<'redeemed_at' | 'revoked_at', Date | null>
> & {
  readonly session_kind: SessionKind;
  readonly linked_sessions: number;
  readonly api_key_id: Buffer | null;
  readonly gateway: string | null;
};

/** The condition that the ledger's row `i` was made with the share token `t`: its `jti` is a text there. */
const redeemed = `i.application_id = t.for_application_id AND i.source_session_id = t.session_id
  AND LOWER(REPLACE(i.token_id, '-', '')) = LOWER(HEX(t.id))`;

/**
 * Lists share tokens of a session, newest first.
 *
 * @param page at most `limit` of them; only those that are older than `after`.
 */
export async function listShares(
  db: Knex,
  applicationId: ApplicationId,
  sessionId: SessionId,
  page: { readonly after: ShareTokenId | undefined; readonly limit: number },
): Promise<ListedShare[]> {
  const rows = await read<ListedRow>(
    db,
    `SELECT t.id, t.session_kind, t.for_application_id, t.linked_sessions, t.api_key_id, t.gateway, t.created_at,
            t.expires_at, t.revoked_at, i.created_at AS redeemed_at
     FROM share_tokens t LEFT JOIN session_imports i ON ${redeemed}
     WHERE t.session_id = ? AND t.application_id = ? ${page.after === undefined ? '' : 'AND t.id < ?'}
     ORDER BY t.id DESC LIMIT ?`,
    [
      toBinary(sessionId),
      toBinary(applicationId),
      ...(page.after === undefined ? [] : [toBinary(page.after)]),
      page.limit,
    ],
  );
  return rows.map((row) => ({
    id: fromBinary(row.id),
    applicationId,
    sessionId,
    kind: row.session_kind,
    forApplicationId: fromBinary(row.for_application_id),
    linkedSessions: row.linked_sessions === 1,
    actor: actorOf(row),
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    redeemedAt: row.redeemed_at,
    revokedAt: row.revoked_at,
  }));
}

function actorOf(row: Pick<ListedRow, 'api_key_id' | 'gateway'>): Actor {
  return row.api_key_id === null
    ? { apiKeyId: null, gateway: row.gateway ?? '' }
    : { apiKeyId: fromBinary<ApiKeyId>(row.api_key_id), gateway: null };
}

/** The session that an application has recorded a share token for. */
export async function sharedSession(
  db: Knex,
  applicationId: ApplicationId,
  by: { readonly shareTokenId: ShareTokenId } | { readonly sessionId: SessionId },
): Promise<{ readonly sessionId: SessionId; readonly kind: SessionKind } | undefined> {
  const [column, id] =
    'shareTokenId' in by ? ['id', by.shareTokenId] : ['session_id', by.sessionId];
  const [row] = await read<{ readonly session_id: Buffer; readonly session_kind: SessionKind }>(
    db,
    `SELECT session_id, session_kind FROM share_tokens
     WHERE ${column} = ? AND application_id = ? LIMIT 1`,
    [toBinary(id), toBinary(applicationId)],
  );
  return row && { sessionId: fromBinary(row.session_id), kind: row.session_kind };
}

/** What came of taking share tokens back. */
export interface Revocation {
  /** How many became useless by it: those that had neither expired nor been taken back before. */
  readonly revoked: number;
  /** How many of those that were meant had been redeemed. */
  readonly redeemed: number;
}

/**
 * Takes back share tokens of a session: one, or all.
 *
 * Holds the session's row exclusively: whoever imports it has locked it before looking whether the token
 * was taken back. So an import has ended before this begins, or it sees what was done here.
 *
 * @param db a database that was opened with `together`.
 * @param shareTokenId undefined: all of them.
 */
export async function revokeShares(
  db: Knex,
  applicationId: ApplicationId,
  shared: { readonly sessionId: SessionId; readonly kind: SessionKind },
  shareTokenId: ShareTokenId | undefined,
  by: { readonly actor: Actor; readonly at: Date },
): Promise<Revocation> {
  const which = `t.session_id = ? AND t.application_id = ?${shareTokenId === undefined ? '' : ' AND t.id = ?'}`;
  const bindings = [
    toBinary(shared.sessionId),
    toBinary(applicationId),
    ...(shareTokenId === undefined ? [] : [toBinary(shareTokenId)]),
  ];
  return db.transaction(async (trx) => {
    await read(trx, 'SELECT id FROM ?? FORCE INDEX (PRIMARY) WHERE id = ? FOR UPDATE', [
      kindSchemas[shared.kind].sessions,
      toBinary(shared.sessionId),
    ]);
    const revoke = (life: '>' | '<='): Statement => ({
      sql: `UPDATE share_tokens t
            SET t.revoked_at = ?, t.revoked_by_api_key_id = ?, t.revoked_by_gateway = ?
            WHERE ${which} AND t.revoked_at IS NULL AND t.expires_at ${life} ?`,
      bindings: [
        by.at,
        by.actor.apiKeyId && toBinary(by.actor.apiKeyId),
        by.actor.gateway,
        ...bindings,
        by.at,
      ],
    });
    // Expired ones as well, uncounted: an import that found one good may not have come to its locks yet.
    const [taken] = await writeTogether(trx, [revoke('>'), revoke('<=')]);
    const [counted] = await read<{ readonly redeemed: number }>(
      trx,
      `SELECT COUNT(*) AS redeemed FROM share_tokens t JOIN session_imports i ON ${redeemed}
       WHERE ${which}`,
      bindings,
    );
    return { revoked: taken?.affectedRows ?? 0, redeemed: counted?.redeemed ?? 0 };
  });
}
