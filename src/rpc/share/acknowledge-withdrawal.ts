import { z } from 'zod';
import type {
  AcknowledgeWithdrawalRequest,
  AcknowledgeWithdrawalResponse,
} from '../../gen/sessionimport/v1/session_share';
import { read } from '../../db/query';
import type { SessionId } from '../../model/ids';
import { ServiceError } from '../../model/problems';
import { sessionById } from '../../store/sessions/find';
import { readSurely } from '../../store/surely';
import { answerWithdrawals, withdrawalsOfCopy } from '../../store/withdrawals/answer';
import type { Caller } from '../call/callers';
import { checkRequest, invalidField, moment, requiredId } from '../call/request';
import type { HandlerContext } from '../context';
import { outcomeRule } from './withdrawals';

const schema = z
  .object({
    session_id: requiredId<SessionId>(),
    outcome: outcomeRule,
    kept_until: moment.min(new Date(0), 'must not be before 1970').optional(),
  })
  .refine(({ outcome, kept_until: until }) => until === undefined || outcome === 'kept', {
    path: ['kept_until'],
    message: 'must be absent, unless the outcome is KEPT',
  });

/** Answers the withdrawals that have reached a copy of the caller's application. */
export async function acknowledgeWithdrawal(
  request: AcknowledgeWithdrawalRequest,
  { applicationId, actor }: Caller,
  { onDatabase, clock, annotate }: HandlerContext,
): Promise<AcknowledgeWithdrawalResponse> {
  const fields = checkRequest(schema, {
    session_id: request.sessionId,
    outcome: request.outcome,
    kept_until: request.keptUntil,
  });
  const { session_id: sessionId, outcome, kept_until: until } = fields;
  annotate({ session_id: sessionId, outcome });
  const withdrawals = await onDatabase(async (db) => {
    const reached = await readSurely(
      db,
      (from) => read(from, withdrawalsOfCopy(sessionId, applicationId)),
      ({ length }) => length === 0,
    );
    const [copy] = reached;
    if (!copy) {
      const session = await readSurely(db, (from) =>
        read(from, sessionById(sessionId, applicationId)),
      );
      throw new ServiceError({
        reason: session ? 'WITHDRAWAL_NOT_FOUND' : 'SESSION_NOT_FOUND',
        sessionId,
      });
    }
    const answer = { outcome, keptUntil: until ?? null, actor };
    return answerWithdrawals(db, copy, answer, clock);
  });
  if (withdrawals === undefined) {
    throw invalidField(
      'outcome',
      outcome === 'erased'
        ? 'must not be ERASED as long as the session is there: erase it'
        : 'must be ERASED, since the session is not there any more',
    );
  }
  if (withdrawals === 0) throw new ServiceError({ reason: 'WITHDRAWAL_NOT_FOUND', sessionId });
  return { withdrawals };
}
