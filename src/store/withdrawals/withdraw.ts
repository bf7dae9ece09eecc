import type { MultiDatabase } from '../../db/database';
import { read, writeTogether } from '../../db/query';
import { inTransaction } from '../../db/transaction';
import { newEvent, type RecordedEvent } from '../../model/events';
import { newId } from '../../model/ids';
import { kindSchemas } from '../../model/relations';
import type { WithdrawnCopy } from '../../model/withdrawals';
import { recordEvents } from '../events/outbox';
import { lockForErasure, markWithdrawn, sessionsOfAnyone } from '../sessions/erase';
import { answerWithin } from './answer';
import {
  earlierWithdrawal,
  enterCopies,
  enterWithdrawal,
  markTold,
  takeCopy,
  type EnteredWithdrawal,
  type NewWithdrawal,
} from './chain';

/**
 * Withdraws a session: from the commit on, nobody can import it, unless it was only corrected. The applications that
 * have copies are told later, by {@link tellCopy}.
 *
 * It locks the session's row exclusively. An import share-locks that row until it has ended. So an import has either
 * ended before, and its application is told, or it is refused.
 *
 * @param clock is asked after the row is locked, so that `withdrawn_at` is not before the `created_at` of copies.
 * @returns the withdrawal, or the one that was made before for the same reason; undefined: the application has no such
 * session.
 */
export function withdrawSession(
  db: MultiDatabase,
  asked: Omit<NewWithdrawal, 'at'>,
  clock: () => Date,
): Promise<EnteredWithdrawal | undefined> {
  const { id, sessionId, applicationId, kind, reason } = asked;
  const schema = kindSchemas[kind];
  return inTransaction(db, async (trx) => {
    const session = await read(trx, lockForErasure(schema, sessionId));
    if (!session || session.erasedAt || session.applicationId !== applicationId) return undefined;
    const at = clock();
    const wanted = { ...asked, at };
    const before = await read(trx, earlierWithdrawal(wanted));
    if (before) return before;
    await enterWithdrawal(trx, wanted);
    const owner = { application: applicationId, session: sessionId };
    await writeTogether(trx, [
      markWithdrawn(schema, sessionId, at),
      // Its id is made now, with the lock: made before, it would come before that of an import that had the lock.
      recordEvents(newId(), [
        newEvent('session_withdrawn', at, { kind, owner, reason: reason.toUpperCase() }),
      ]),
    ]);
    return { id, at };
  });
}

/**
 * Tells the application of a copy that the source was withdrawn, and enters the copies of the copy, whose applications
 * are told next. The copy is marked, so that nobody imports it any more: after a correction, only until its application
 * has answered that it keeps it. If the copy was erased, the erasure is the answer, and its application is not told;
 * but its own copies are entered all the same.
 *
 * @param waiting the copy. If another process has told its application meanwhile, nothing is done.
 * @param clock is asked after the copy is locked.
 * @returns false if somebody holds the copy: it has to be tried again later.
 */
export async function tellCopy(
  db: MultiDatabase,
  waiting: Pick<WithdrawnCopy, 'withdrawalId' | 'sessionId' | 'kind'>,
  clock: () => Date,
): Promise<boolean> {
  const { kind, sessionId } = waiting;
  const schema = kindSchemas[kind];
  return inTransaction(db, async (trx) => {
    // The session first, as an erasure does, which answers withdrawals.
    const session = await read(trx, lockForErasure(schema, sessionId, 'skip'));
    if (!session && (await read(trx, sessionsOfAnyone([sessionId]))).size > 0) return false;
    const copy = await read(trx, takeCopy(waiting));
    if (!copy) return true;
    const at = clock();
    const isThere = session?.erasedAt === null;
    await enterCopies(trx, copy, copy.sessionId);
    if (!isThere) {
      const answer = { outcome: 'erased', keptUntil: null, actor: null, at } as const;
      await answerWithin(trx, copy.sessionId, copy.applicationId, answer);
    }
    await writeTogether(trx, [
      markTold(copy, at),
      ...(isThere
        ? [
            markWithdrawn(schema, copy.sessionId, at),
            recordEvents(newId(), [sourceWithdrawn(copy, at)]),
          ]
        : []),
    ]);
    return true;
  });
}

function sourceWithdrawn(copy: WithdrawnCopy, at: Date): RecordedEvent {
  return newEvent('source_withdrawn', at, {
    kind: copy.kind,
    source: { application: copy.parent.applicationId, session: copy.parent.sessionId },
    recipient: { application: copy.applicationId, session: copy.sessionId },
    reason: copy.reason.toUpperCase(),
  });
}
