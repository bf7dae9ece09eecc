import type { MultiDatabase, TransactionOf } from '../../db/database';
import { query, read, sql, write, writeTogether, type Query } from '../../db/query';
import { inTransaction } from '../../db/transaction';
import { newEvent } from '../../model/events';
import { newId, toBinary, type ApplicationId, type SessionId } from '../../model/ids';
import { kindSchemas } from '../../model/relations';
import type { Actor } from '../../model/session';
import type { WithdrawalOutcome, WithdrawnCopy } from '../../model/withdrawals';
import { actorBindings } from '../actor-columns';
import { recordEvents } from '../events/outbox';
import { lockForErasure, markWithdrawn } from '../sessions/erase';
import { copyColumns, copyOf, type CopyRow } from './rows';

/** What an application answers about its copy. */
export interface NewAnswer {
  readonly outcome: WithdrawalOutcome;
  readonly keptUntil: Date | null;
  /** Null: no call has answered. */
  readonly actor: Actor | null;
  readonly at: Date;
}

/** The withdrawals that have reached a copy, whether or not its application has been told of them. */
export function withdrawalsOfCopy(copy: SessionId, owner: ApplicationId): Query<WithdrawnCopy[]> {
  return query(
    sql(
      `SELECT ${copyColumns.join(', ')} FROM session_withdrawals FORCE INDEX (session_withdrawals_session_index)
       WHERE session_id = ? AND application_id = ? AND parent_session_id IS NOT NULL ORDER BY withdrawal_id`,
      toBinary(copy),
      toBinary(owner),
    ),
    (rows: CopyRow[]) => rows.map(copyOf),
  );
}

/** A copy that withdrawals have reached. */
type ReachedCopy = Pick<WithdrawnCopy, 'sessionId' | 'applicationId' | 'kind'>;

/**
 * Answers all withdrawals that have reached a copy, in place of what was answered before. Corrections of which its
 * application has not been told are left out, unless the copy is erased. The applications that shared it are told. If
 * the copy is kept, and its source was only corrected, it can be imported again.
 *
 * It locks the copy, as an erasure does. So nobody can answer that a copy is kept while it is erased, or after that.
 *
 * @param clock is asked after the copy is locked, so that the answer is not before what it answers.
 * @returns how many there are; undefined: the outcome is `erased` and the copy is there, or the other way round.
 */
export function answerWithdrawals(
  db: MultiDatabase,
  { sessionId, applicationId, kind }: ReachedCopy,
  given: Omit<NewAnswer, 'at'>,
  clock: () => Date,
): Promise<number | undefined> {
  return inTransaction(db, async (trx) => {
    const schema = kindSchemas[kind];
    const session = await read(trx, lockForErasure(schema, sessionId));
    const isThere = session?.erasedAt === null;
    if (isThere === (given.outcome === 'erased')) return undefined;
    const answer = { ...given, at: clock() };
    const answered = await answerWithin(trx, sessionId, applicationId, answer);
    if (isThere) await write(trx, markWithdrawn(schema, sessionId, answer.at));
    return answered;
  });
}

/** Answers like {@link answerWithdrawals}, as a part of a transaction. */
export async function answerWithin(
  trx: TransactionOf<MultiDatabase>,
  copy: SessionId,
  owner: ApplicationId,
  { outcome, keptUntil, actor, at }: NewAnswer,
): Promise<number> {
  const found = (await read(trx, withdrawalsOfCopy(copy, owner))).filter(
    // An application that does not know of a correction yet keeps what may be wrong.
    ({ reason, toldAt }) => outcome === 'erased' || reason !== 'rectified' || toldAt !== null,
  );
  // The same answer again, for example of a call whose first answer was lost, tells nobody anything.
  const changed = found.filter(
    ({ answer }) =>
      answer?.outcome !== outcome || answer.keptUntil?.getTime() !== keptUntil?.getTime(),
  );
  if (changed.length === 0) return found.length;
  const parents = new Map(changed.map(({ parent, kind }) => [parent.sessionId, { parent, kind }]));
  await writeTogether(trx, [
    sql(
      `UPDATE session_withdrawals FORCE INDEX (PRIMARY)
       SET outcome = ?, kept_until = ?, answered_at = ?, api_key_id = ?, gateway = ?
       WHERE (withdrawal_id, session_id) IN (?)`,
      ...[outcome, keptUntil, at, ...actorBindings(actor)],
      changed.map(({ withdrawalId }) => [toBinary(withdrawalId), toBinary(copy)]),
    ),
    recordEvents(
      newId(),
      [...parents.values()].map(({ parent, kind }) =>
        newEvent('withdrawal_answered', at, {
          kind,
          source: { application: parent.applicationId, session: parent.sessionId },
          recipient: { application: owner, session: copy },
          reason: outcome.toUpperCase(),
        }),
      ),
    ),
  ]);
  return found.length;
}
