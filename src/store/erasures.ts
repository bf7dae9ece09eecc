import type { MultiDatabase, TransactionOf } from '../db/database';
import { Keyset, type Page, type WantedPage } from '../db/cursor';
import {
  allOf,
  ifGiven,
  query,
  read,
  readTogether,
  sql,
  write,
  writeTogether,
  type Query,
  type Statement,
} from '../db/query';
import { inTransaction } from '../db/transaction';
import { newEvent } from '../model/events';
import {
  fromBinary,
  newId,
  toBinary,
  type ApplicationId,
  type SessionId,
  type WithdrawalId,
} from '../model/ids';
import { must } from '../model/must';
import { ServiceError } from '../model/problems';
import { kindSchemas } from '../model/relations';
import { isHeld, isOver, noRetention, type WaitingCount } from '../model/retention';
import type { Actor, SessionKind } from '../model/session';
import { actorBindings } from './actor-columns';
import { recordEvents } from './events/outbox';
import { forgetAnswers } from './ledger/entries';
import { endRetention, retentionOf } from './retention';
import { lockForErasure, markErased, sessionsOfAnyone } from './sessions/erase';
import { sessionById } from './sessions/find';
import { readSurely } from './surely';
import { answerWithin } from './withdrawals/answer';
import { earlierWithdrawal, enterCopies, enterWithdrawal } from './withdrawals/chain';

/** Why a session was erased: a caller or an operator asked, its time was over, or a backup had brought it back. */
export type ErasureCause = 'request' | 'operator' | 'retention' | 'replay';

/** An erasure, as it stays on record: ids and times. */
export interface Erasure {
  readonly sessionId: SessionId;
  readonly applicationId: ApplicationId;
  readonly kind: SessionKind;
  /** Since when no caller finds the session. */
  readonly erasedAt: Date;
}

type Row = Readonly<Record<'session_id' | 'application_id', Buffer>> & {
  readonly session_kind: SessionKind;
  readonly erased_at: Date;
};

const columns = 'session_id, application_id, session_kind, erased_at';

function erasureOfRow(row: Row): Erasure {
  return {
    sessionId: fromBinary(row.session_id),
    applicationId: fromBinary(row.application_id),
    kind: row.session_kind,
    erasedAt: row.erased_at,
  };
}

/**
 * The erasure of a session; undefined: it was not erased.
 *
 * @param owner the application that must have had the session. Undefined: any; the result is not for callers then.
 */
export function erasureOf(
  id: SessionId,
  owner: ApplicationId | undefined,
): Query<Erasure | undefined> {
  const owned = owner === undefined ? sql('TRUE') : sql('application_id = ?', toBinary(owner));
  return query(
    sql(
      `SELECT ${columns} FROM session_erasures WHERE session_id = ? AND ${owned.sql}`,
      toBinary(id),
      ...owned.bindings,
    ),
    ([row]: Row[]) => row && erasureOfRow(row),
  );
}

/** The erasures of those of these sessions that were erased. @param ids at least one. */
export function erasuresOf(ids: readonly SessionId[]): Query<ReadonlyMap<SessionId, Erasure>> {
  return query(
    sql(`SELECT ${columns} FROM session_erasures WHERE session_id IN (?)`, ids.map(toBinary)),
    (rows: Row[]) => new Map(rows.map(erasureOfRow).map((each) => [each.sessionId, each])),
  );
}

/** The condition that the session of a share token `s` was erased. */
export const sessionWasErased =
  'EXISTS (SELECT 1 FROM session_erasures e WHERE e.session_id = s.session_id)';

/** Which session to erase, and on whose behalf. */
export interface WantedErasure {
  readonly sessionId: SessionId;
  readonly kind: SessionKind;
  /** Undefined: whoever has the session. */
  readonly owner: ApplicationId | undefined;
  readonly cause: ErasureCause;
  /** Null: no call has asked for it. */
  readonly actor: Actor | null;
  /** Is asked after the session is locked, so that `erased_at` is not before the `created_at` of copies. */
  readonly clock: (trx: TransactionOf<MultiDatabase>) => Date | Promise<Date>;
}

/**
 * Erases a session: from the commit on, no caller finds it, and nobody can import it. Its data are deleted later, by
 * the job that prunes.
 *
 * It locks the session's row exclusively. An import share-locks that row until it has ended. So an import has either
 * ended before, or finds no session. The session's share tokens are not marked: without their session they are of no
 * use, and whoever tries one learns that the session is gone.
 *
 * @returns the erasure, or the one that was made before; undefined: that owner has no such session, or the
 * erasure is for retention and `eraseAfter` has not come yet.
 * @throws ServiceError with SESSION_ON_HOLD, except for a replay
 */
export async function eraseSession(
  db: MultiDatabase,
  wanted: WantedErasure,
): Promise<Erasure | undefined> {
  const { sessionId, kind, owner, clock } = wanted;
  const schema = kindSchemas[kind];
  return inTransaction(db, async (trx) => {
    const session = await read(trx, lockForErasure(schema, sessionId));
    if (!session) return undefined;
    const { applicationId, erasedAt } = session;
    if (owner !== undefined && applicationId !== owner) return undefined;
    if (erasedAt) {
      const before: Erasure = { sessionId, applicationId, kind, erasedAt };
      // A backup of some tables may have brought back a session whose data the job had deleted.
      if (wanted.cause === 'replay') await write(trx, insertErasure(before, wanted, deleteAgain));
      return before;
    }
    const at = await clock(trx);
    if (!(await retentionAllows(trx, wanted, at))) return undefined;
    const erasure: Erasure = { sessionId, applicationId, kind, erasedAt: at };
    // The lock on the session's row lasts until the commit. So no import of the session can run or begin meanwhile.
    await writeTogether(trx, [
      markErased(schema, sessionId, at),
      insertErasure(erasure, wanted, replaceRecord),
      endRetention(sessionId),
      ...forgetAnswers(sessionId),
    ]);
    await tellOf(trx, erasure, wanted);
    return erasure;
  });
}

/**
 * Tells the session's application of an erasure, the applications that have copies of it, and those that it is a copy
 * of. They are told once: not if the session was withdrawn for this reason before, and not by a replay if the database
 * knows that they were told. A backup from before the erasure does not know that, nor which copies were marked.
 */
async function tellOf(
  trx: TransactionOf<MultiDatabase>,
  { sessionId, applicationId, kind, erasedAt: at }: Erasure,
  { cause, actor }: Pick<WantedErasure, 'cause' | 'actor'>,
): Promise<void> {
  const id = newId<WithdrawalId>();
  const withdrawal = { id, sessionId, applicationId, kind, reason: 'erased', at, actor } as const;
  const before = await read(trx, earlierWithdrawal(withdrawal));
  // A restored session may have been imported since it was erased before: those copies are added.
  if (before)
    await enterCopies(
      trx,
      { ...withdrawal, withdrawalId: before.id, withdrawnAt: before.at },
      sessionId,
    );
  else await enterWithdrawal(trx, withdrawal);
  const answer = { outcome: 'erased', keptUntil: null, actor, at } as const;
  await answerWithin(trx, sessionId, applicationId, answer);
  if (before && cause === 'replay') return;
  const owner = { application: applicationId, session: sessionId };
  await write(trx, recordEvents(id, [newEvent('session_erased', at, { kind, owner })]));
}

/**
 * Erases a session of which only the id is known, like {@link eraseSession}.
 *
 * @returns the erasure, also if it was made before; undefined: there never was such a session of that owner.
 * @throws ServiceError with SESSION_ON_HOLD
 */
export async function eraseSessionById(
  db: MultiDatabase,
  wanted: Omit<WantedErasure, 'kind'>,
): Promise<Erasure | undefined> {
  const { sessionId, owner } = wanted;
  const [session, before] = await readSurely(
    db,
    (from) => readTogether(from, [sessionById(sessionId, owner), erasureOf(sessionId, owner)]),
    ([found, erasure]) => !found && !erasure,
  );
  // A session that is there is erased even if the record says that it was: a backup may have brought it back.
  if (!session) return before;
  const { kind } = session;
  // Somebody else may have erased it meanwhile, and the job deleted it.
  return (await eraseSession(db, { ...wanted, kind })) ?? read(db, erasureOf(sessionId, owner));
}

/**
 * Reads what is set for the retention of a session whose row is locked: it may have changed since the session was found.
 * A hold that a backup has brought back does not count: the session was erased, so the hold had ended.
 *
 * @returns false if the erasure is for retention and `eraseAfter` has not come yet.
 * @throws ServiceError with SESSION_ON_HOLD
 */
async function retentionAllows(
  trx: TransactionOf<MultiDatabase>,
  { sessionId, cause }: WantedErasure,
  at: Date,
): Promise<boolean> {
  if (cause === 'replay') return true;
  const retention = (await read(trx, retentionOf(sessionId))) ?? noRetention;
  if (isHeld(retention, at)) {
    const until = retention.hold?.until ?? null;
    throw new ServiceError({ reason: 'SESSION_ON_HOLD', sessionId, until });
  }
  return cause !== 'retention' || isOver(retention, at);
}

/** Leaves the record of an erasure as it is. */
const keepRecord = 'session_id = session_erasures.session_id';

/** Leaves the record of an erasure as it is, except that the session's data have to be deleted again. */
const deleteAgain = 'pruned_at = NULL';

/** Replaces the record of an earlier erasure: the session was there again, and its data have to be deleted again. */
const replaceRecord = `application_id = VALUES(application_id), session_kind = VALUES(session_kind),
  erased_at = VALUES(erased_at), cause = VALUES(cause), api_key_id = VALUES(api_key_id), gateway = VALUES(gateway),
  pruned_at = NULL`;

/** @param ifRecorded SQL for what becomes of the record, if there is one. */
function insertErasure(
  { sessionId, applicationId, kind, erasedAt }: Erasure,
  { cause, actor }: Pick<WantedErasure, 'cause' | 'actor'>,
  ifRecorded: string,
): Statement {
  const values = [toBinary(sessionId), toBinary(applicationId), kind, erasedAt, cause];
  return sql(
    `INSERT INTO session_erasures (${columns}, cause, api_key_id, gateway) VALUES (?)
     ON DUPLICATE KEY UPDATE ${ifRecorded}`,
    [...values, ...actorBindings(actor)],
  );
}

/**
 * Repeats an erasure on a database that was restored from a backup. The erasure is recorded again even if the session
 * is not there: then the session was made after the backup.
 *
 * @returns whether the session was there again.
 * @throws Error if the session is there, but is of another application or kind.
 */
export async function replayErasure(db: MultiDatabase, erasure: Erasure): Promise<boolean> {
  const { sessionId, kind, applicationId: owner, erasedAt } = erasure;
  const again = { cause: 'replay', actor: null } as const;
  const clock = (): Date => erasedAt;
  if (await eraseSession(db, { sessionId, kind, owner, clock, ...again })) return true;
  const there = await read(db, sessionsOfAnyone([sessionId]));
  if (there.size > 0) throw new Error(`the session ${sessionId} is not the one that was erased`);
  await write(db, insertErasure(erasure, again, keepRecord));
  return false;
}

/** The order of the erasures that wait. */
const waitingKeyset = new Keyset(
  [
    { name: 'erased_at', type: 'moment' },
    { name: 'session_id', type: 'id' },
  ],
  'ASC',
);

/** Erasures whose data wait to be deleted, the oldest first. */
export function waitingErasures({ size, after }: WantedPage): Query<Page<Erasure>> {
  const wanted = allOf(
    sql('pruned_at IS NULL'),
    ifGiven(after, (cursor) => waitingKeyset.following(cursor)),
  );
  return query(
    sql(
      `SELECT ${columns}, ${waitingKeyset.select} FROM session_erasures WHERE ${wanted.sql}
       ORDER BY ${waitingKeyset.orderBy} LIMIT ?`,
      ...[...wanted.bindings, size + 1],
    ),
    (rows: Row[]) => waitingKeyset.pageOf(rows, size, erasureOfRow),
  );
}

/** How many erasures wait, and since when the oldest does. @param most where counting stops; by default, never. */
export function waitingErasuresCount(most: number = Number.MAX_SAFE_INTEGER): Query<WaitingCount> {
  return query(
    sql(
      `SELECT COUNT(*) AS waiting, MIN(w.erased_at) AS oldest FROM (
         SELECT erased_at FROM session_erasures WHERE pruned_at IS NULL ORDER BY erased_at LIMIT ?
       ) w`,
      most,
    ),
    ([row]: WaitingCount[]) => must(row, 'a count of erasures'),
  );
}

/**
 * Takes a waiting erasure until the transaction ends, so that no other process works on it meanwhile.
 *
 * @returns false if another process has it, or has ended it.
 */
export function takeErasure(id: SessionId): Query<boolean> {
  return query(
    sql(
      `SELECT 1 FROM session_erasures FORCE INDEX (PRIMARY)
       WHERE session_id = ? AND pruned_at IS NULL FOR UPDATE SKIP LOCKED`,
      toBinary(id),
    ),
    ({ length }) => length > 0,
  );
}

/** Says that the data of a session are deleted. */
export function markPruned(id: SessionId, at: Date): Statement {
  return sql('UPDATE session_erasures SET pruned_at = ? WHERE session_id = ?', at, toBinary(id));
}
