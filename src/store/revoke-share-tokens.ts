import { Keyset, pagesOf, type Cursor, type Page } from '../db/cursor';
import type { Database, MultiDatabase } from '../db/database';
import {
  allOf,
  ifGiven,
  read,
  readTogether,
  select,
  sql,
  writeTogether,
  type Query,
  type Statement,
} from '../db/query';
import { inTransaction } from '../db/transaction';
import { newEvent } from '../model/events';
import { fromBinary, newId, toBinary, type ApplicationId, type ShareTokenId } from '../model/ids';
import { must } from '../model/must';
import { kindSchemas } from '../model/relations';
import type { Actor } from '../model/session';
import { actorBindings } from './actor-columns';
import { recordEvents } from './events/outbox';
import { redemptions } from './ledger/entries';
import { lockSession } from './sessions/lock';
import { factsOf, mostLiveTokens, type SharedSession } from './share-tokens';
import { readSurely } from './surely';

/**
 * How many tokens a revocation marks in one transaction, and so under one lock of the session. All live tokens fit
 * into the first transaction, even if concurrent calls have made some beyond the limit.
 */
const revokedAtOnce = mostLiveTokens + 100;

/**
 * How long after its expiry a token is still marked as revoked, in milliseconds: a day. An import that has
 * verified the token in time may still wait for its group, though never for that long.
 */
const revokedAfterExpiry = 86_400_000;

/** Who revokes, and when. */
export interface Revoker {
  readonly actor: Actor;
  /** Is asked after the session is locked. */
  readonly clock: () => Date;
  /**
   * The moment of the revocation: set after the session was locked for the first time, so that no import with one of
   * its tokens is later. All batches and all tries have this one moment, so that a later try recognizes the tokens
   * that an earlier one has marked. {@link revokeShareTokens} sets it, and sets a new one if nothing of the earlier
   * tries was committed.
   */
  at?: Date | undefined;
}

/** The result of a revocation. */
export interface Revocation {
  /** How many tokens it revoked: only those that had not expired and were not revoked before. */
  readonly revoked: number;
  /** How many of the selected tokens were redeemed. */
  readonly redeemed: number;
}

/**
 * Revokes one share token of a session, or all of them.
 *
 * It looks for the tokens and marks them, some at a time, and locks the session's row exclusively
 * for each of these batches. The live ones are all in the first batch: so even if the database fails, either all of
 * them are revoked or none, and expired ones never delay them. An import locks that row before it looks for revoked
 * tokens. So an import has either ended before its token is marked, or it sees the mark. Redeemed tokens are
 * counted last, without the lock: by then, no import with these tokens can succeed any more.
 *
 * @param shareTokenId undefined: all of them.
 * @param by the same for all tries: what an earlier one has marked counts as revoked by this one.
 */
export async function revokeShareTokens(
  db: MultiDatabase,
  applicationId: ApplicationId,
  shared: SharedSession,
  shareTokenId: ShareTokenId | undefined,
  by: Revoker,
): Promise<Revocation> {
  const meant = allOf(
    sql('t.session_id = ?', toBinary(shared.sessionId)),
    sql('t.application_id = ?', toBinary(applicationId)),
    ifGiven(shareTokenId, (id) => sql('t.id = ?', toBinary(id))),
  );
  const toRevoke = by.at
    ? sql('(t.revoked_at IS NULL OR t.revoked_at = ?)', by.at)
    : sql('t.revoked_at IS NULL');
  const wanted = allOf(
    meant,
    toRevoke,
    sql('t.expires_at > ?', new Date(by.clock().getTime() - revokedAfterExpiry)),
  );
  const pages = pagesOf(revokedAtOnce, ({ size, after }) => readIds(db, wanted, size, after));
  let revoked = 0;
  let isRetry = by.at !== undefined;
  for await (const ids of pages) {
    if (ids.length === 0) break;
    const revoke = (life: '>' | '<=', at: Date): Statement => ({
      // mysql2 lets the server count the rows that it finds, not those that it changes, so marked ones count again.
      sql: `UPDATE share_tokens t
            SET t.revoked_at = ?, t.revoked_by_api_key_id = ?, t.revoked_by_gateway = ?
            WHERE t.id IN (?) AND ${toRevoke.sql} AND t.expires_at ${life} ?`,
      bindings: [at, ...actorBindings(by.actor), ids, ...toRevoke.bindings, at],
    });
    revoked += await inTransaction(db, async (trx) => {
      const [, before] = await readTogether(trx, [
        lockSession(kindSchemas[shared.kind], shared.sessionId),
        liveTokens(ids, by.at ?? by.clock()),
      ]);
      if (isRetry && !(await isMarked(trx, ids, by.at))) by.at = undefined;
      isRetry = false;
      const at = (by.at ??= by.clock());
      const live = before.filter(({ expires_at: expiresAt }) => expiresAt > at);
      const events = live.map(({ id, for_application_id: recipient }) =>
        newEvent(
          'share_token_revoked',
          at,
          factsOf({
            ...shared,
            id: fromBinary(id),
            applicationId,
            forApplicationId: fromBinary(recipient),
          }),
        ),
      );
      // Expired tokens are revoked too, but not counted: an import that verified one in time may not
      // have its locks yet.
      const [taken] = await writeTogether(trx, [
        revoke('>', at),
        revoke('<=', at),
        ...(events.length > 0 ? [recordEvents(newId(), events)] : []),
      ]);
      return must(taken, 'what was revoked').affectedRows;
    });
  }
  const [counted] = await read(
    db,
    select<{ readonly redeemed: number }>(
      `SELECT COUNT(*) AS redeemed FROM ${redemptions} WHERE i.source_session_id = ? AND ${meant.sql}`,
      [toBinary(shared.sessionId), ...meant.bindings],
    ),
  );
  return { revoked, redeemed: must(counted, 'how many were redeemed').redeemed };
}

/** The order in which tokens are revoked: those that expire last come first. */
const revokedFirst = new Keyset(
  [
    { name: 't.expires_at', type: 'moment' },
    { name: 't.id', type: 'id' },
  ],
  'DESC',
);

async function readIds(
  db: MultiDatabase,
  wanted: Statement,
  size: number,
  after: Cursor | undefined,
): Promise<Page<Buffer>> {
  const of = allOf(
    wanted,
    ifGiven(after, (cursor) => revokedFirst.following(cursor)),
  );
  const found = await readSurely(
    db,
    (from) =>
      read(
        from,
        select<{ readonly id: Buffer }>(
          `SELECT t.id, ${revokedFirst.select} FROM share_tokens t WHERE ${of.sql}
           ORDER BY ${revokedFirst.orderBy} LIMIT ?`,
          [...of.bindings, size + 1],
        ),
      ),
    ({ length }) => length === 0,
  );
  return revokedFirst.pageOf(found, size, ({ id }) => id);
}

/**
 * Whether an earlier try has marked some of these tokens. It has marked those of the first batch first, so if none of
 * them is marked, nothing of it was committed.
 */
async function isMarked(
  db: Database,
  ids: readonly Buffer[],
  at: Date | undefined,
): Promise<boolean> {
  const marked = await read(
    db,
    select<object>('SELECT 1 FROM share_tokens WHERE id IN (?) AND revoked_at = ? LIMIT 1', [
      ids,
      at ?? null,
    ]),
  );
  return marked.length > 0;
}

/** A share token that was live when it was read. */
interface LiveToken extends Readonly<Record<'id' | 'for_application_id', Buffer>> {
  readonly expires_at: Date;
}

/** Those of some share tokens that have neither expired nor been revoked. An earlier try has told of the others. */
function liveTokens(ids: readonly Buffer[], at: Date): Query<LiveToken[]> {
  return select(
    `SELECT id, for_application_id, expires_at FROM share_tokens
     WHERE id IN (?) AND revoked_at IS NULL AND expires_at > ?`,
    [ids, at],
  );
}
