import type { MultiDatabase, TransactionOf } from '../../db/database';
import { Keyset, pagesOf, type Cursor, type Page, type WantedPage } from '../../db/cursor';
import {
  allOf,
  ifGiven,
  query,
  read,
  sql,
  write,
  type Query,
  type Statement,
} from '../../db/query';
import {
  fromBinary,
  toBinary,
  type ApplicationId,
  type SessionId,
  type WithdrawalId,
} from '../../model/ids';
import type { Actor, SessionKind } from '../../model/session';
import type { WithdrawalReason, WithdrawnCopy } from '../../model/withdrawals';
import { actorBindings } from '../actor-columns';
import { importsOfSession, type ImportedCopy } from '../ledger/imports-of-session';
import { copyColumns, copyOf, type CopyRow } from './rows';

/*
 * The chain of a withdrawal. The withdrawn session has a row, and each copy that was made of it gets one, which waits
 * until its application is told; then the copies of that copy get theirs. So the rows are both the queue and the record,
 * and a process that works on them can be killed at any moment.
 */

/** The most copies that one statement enters. */
const copiesAtOnce = 1_000;

/** A session that its application withdraws. */
export interface NewWithdrawal {
  readonly id: WithdrawalId;
  readonly sessionId: SessionId;
  readonly applicationId: ApplicationId;
  readonly kind: SessionKind;
  readonly reason: WithdrawalReason;
  readonly at: Date;
  /** Null: no call has asked for it. */
  readonly actor: Actor | null;
}

/** A withdrawal that was entered. */
export interface EnteredWithdrawal {
  readonly id: WithdrawalId;
  readonly at: Date;
}

/**
 * The withdrawal of a session that makes another one superfluous: an earlier try of the same, or one for the same
 * reason. A session can be corrected again and again.
 */
export function earlierWithdrawal({
  id,
  sessionId,
  reason,
}: Pick<NewWithdrawal, 'id' | 'sessionId' | 'reason'>): Query<EnteredWithdrawal | undefined> {
  const again =
    reason === 'rectified' ? sql('withdrawal_id = ?', toBinary(id)) : sql('reason = ?', reason);
  return query(
    sql(
      `SELECT withdrawal_id, withdrawn_at FROM session_withdrawals
       WHERE session_id = ? AND parent_session_id IS NULL AND ${again.sql} ORDER BY withdrawal_id LIMIT 1`,
      toBinary(sessionId),
      ...again.bindings,
    ),
    ([row]: { readonly withdrawal_id: Buffer; readonly withdrawn_at: Date }[]) =>
      row && { id: fromBinary<WithdrawalId>(row.withdrawal_id), at: row.withdrawn_at },
  );
}

/**
 * Enters a withdrawal, with the copies that were made of the session.
 *
 * @param trx has locked the session's row exclusively. So every import of it has ended, and is in the ledger.
 * @returns how many copies there are.
 */
export async function enterWithdrawal(
  trx: TransactionOf<MultiDatabase>,
  withdrawal: NewWithdrawal,
): Promise<number> {
  const { id, sessionId, applicationId, kind, reason, at, actor } = withdrawal;
  await write(
    trx,
    sql(
      `INSERT INTO session_withdrawals
         (withdrawal_id, session_id, application_id, session_kind, reason, withdrawn_at, told_at, api_key_id, gateway)
       VALUES (?)`,
      [
        ...[toBinary(id), toBinary(sessionId), toBinary(applicationId), kind, reason, at, at],
        ...actorBindings(actor),
      ],
    ),
  );
  return enterCopies(trx, { withdrawalId: id, reason, withdrawnAt: at }, sessionId);
}

/** Enters the copies that were made of a session. Those that are in the chain already stay as they are. */
export async function enterCopies(
  trx: TransactionOf<MultiDatabase>,
  withdrawal: Pick<WithdrawnCopy, 'withdrawalId' | 'reason' | 'withdrawnAt'>,
  sessionId: SessionId,
): Promise<number> {
  let entered = 0;
  const pages = pagesOf(copiesAtOnce, (page) => read(trx, importsOfSession(sessionId, page)));
  for await (const copies of pages) {
    if (copies.length > 0) await write(trx, insertCopies(withdrawal, copies));
    entered += copies.length;
  }
  return entered;
}

function insertCopies(
  {
    withdrawalId,
    reason,
    withdrawnAt,
  }: Pick<WithdrawnCopy, 'withdrawalId' | 'reason' | 'withdrawnAt'>,
  copies: readonly ImportedCopy[],
): Statement {
  return sql(
    `INSERT INTO session_withdrawals
       (withdrawal_id, session_id, application_id, session_kind, reason, withdrawn_at,
        parent_session_id, parent_application_id)
     VALUES ?
     ON DUPLICATE KEY UPDATE withdrawal_id = session_withdrawals.withdrawal_id`,
    copies.map((copy) => [
      ...[toBinary(withdrawalId), toBinary(copy.sessionId), toBinary(copy.applicationId)],
      ...[copy.kind, reason, withdrawnAt],
      ...[toBinary(copy.sourceSessionId), toBinary(copy.sourceApplicationId)],
    ]),
  );
}

/** Which of some sessions have a withdrawal of their own because they were erased. @param ids at least one. */
export function toldAsErased(ids: readonly SessionId[]): Query<ReadonlySet<SessionId>> {
  return query(
    sql(
      `SELECT session_id FROM session_withdrawals FORCE INDEX (session_withdrawals_session_index)
       WHERE session_id IN (?) AND parent_session_id IS NULL AND reason = 'erased'`,
      ids.map(toBinary),
    ),
    (rows: { readonly session_id: Buffer }[]) =>
      new Set(rows.map((row) => fromBinary<SessionId>(row.session_id))),
  );
}

/** A copy whose application has to be told: the key of its row. */
export type WaitingCopy = Pick<WithdrawnCopy, 'withdrawalId' | 'sessionId'>;

/** The next application, by id, whose sessions have copies that wait to be told of; undefined: there is none. */
export function nextWaitingSource(
  after: ApplicationId | undefined,
): Query<ApplicationId | undefined> {
  const place = ifGiven(after, (id) => sql('parent_application_id > ?', toBinary(id)));
  const wanted = allOf(sql('told_at IS NULL'), place);
  return query(
    sql(
      `SELECT parent_application_id FROM session_withdrawals FORCE INDEX (session_withdrawals_waiting_index)
       WHERE ${wanted.sql} ORDER BY parent_application_id LIMIT 1`,
      ...wanted.bindings,
    ),
    ([row]: { readonly parent_application_id: Buffer }[]) =>
      row && fromBinary<ApplicationId>(row.parent_application_id),
  );
}

/** The order of the copies that wait, of one application. */
const waitingKeyset = new Keyset(
  [
    { name: 'withdrawal_id', type: 'id' },
    { name: 'session_id', type: 'id' },
  ],
  'ASC',
);

/** The place behind a copy that waits. */
export function placeBehind({ withdrawalId, sessionId }: WaitingCopy): Cursor {
  return [withdrawalId, sessionId];
}

/** Copies of sessions of an application that wait until their applications are told. */
export function waitingCopies(
  source: ApplicationId,
  { size, after }: WantedPage,
): Query<Page<WithdrawnCopy>> {
  const wanted = allOf(
    sql('told_at IS NULL AND parent_application_id = ?', toBinary(source)),
    ifGiven(after, (cursor) => waitingKeyset.following(cursor)),
  );
  return query(
    sql(
      `SELECT ${copyColumns.join(', ')}, ${waitingKeyset.select}
       FROM session_withdrawals FORCE INDEX (session_withdrawals_waiting_index)
       WHERE ${wanted.sql} ORDER BY ${waitingKeyset.orderBy} LIMIT ?`,
      ...[...wanted.bindings, size + 1],
    ),
    (rows: CopyRow[]) => waitingKeyset.pageOf(rows, size, copyOf),
  );
}

/**
 * Takes a copy whose application has to be told, until the transaction ends.
 *
 * @returns undefined if another process has it, or has told it.
 */
export function takeCopy({
  withdrawalId,
  sessionId,
}: WaitingCopy): Query<WithdrawnCopy | undefined> {
  return query(
    sql(
      `SELECT ${copyColumns.join(', ')} FROM session_withdrawals FORCE INDEX (PRIMARY)
       WHERE withdrawal_id = ? AND session_id = ? AND told_at IS NULL FOR UPDATE SKIP LOCKED`,
      toBinary(withdrawalId),
      toBinary(sessionId),
    ),
    ([row]: CopyRow[]) => row && copyOf(row),
  );
}

/** Says that the application of a copy was told. */
export function markTold({ withdrawalId, sessionId }: WaitingCopy, at: Date): Statement {
  return sql(
    'UPDATE session_withdrawals SET told_at = ? WHERE withdrawal_id = ? AND session_id = ?',
    at,
    toBinary(withdrawalId),
    toBinary(sessionId),
  );
}
