import { z } from 'zod';
import type {
  WithdrawSessionRequest,
  WithdrawSessionResponse,
} from '../../gen/sessionimport/v1/session_share';
import { read } from '../../db/query';
import { newId, type SessionId, type WithdrawalId } from '../../model/ids';
import { ServiceError } from '../../model/problems';
import { sessionById } from '../../store/sessions/find';
import { revokeShareTokens, type Revoker } from '../../store/revoke-share-tokens';
import { readSurely } from '../../store/surely';
import { withdrawSession } from '../../store/withdrawals/withdraw';
import type { Caller } from '../call/callers';
import { checkRequest, requiredId } from '../call/request';
import type { HandlerContext } from '../context';
import { reasonRule } from './withdrawals';

const schema = z.object({ session_id: requiredId<SessionId>(), reason: reasonRule });

/** Withdraws a session of the caller's application, and revokes its share tokens. */
export async function withdrawSessionHandler(
  request: WithdrawSessionRequest,
  { applicationId, actor }: Caller,
  { onDatabase, clock, annotate }: HandlerContext,
): Promise<WithdrawSessionResponse> {
  const { session_id: sessionId, reason } = checkRequest(schema, {
    session_id: request.sessionId,
    reason: request.reason,
  });
  annotate({ session_id: sessionId, withdrawn_for: reason });
  // All tries have the same id, so that a later one finds what an earlier one has written.
  const id = newId<WithdrawalId>();
  const by: Revoker = { actor, clock };
  const done = await onDatabase(async (db) => {
    const session = await readSurely(db, (from) =>
      read(from, sessionById(sessionId, applicationId)),
    );
    if (!session) return undefined;
    const { kind } = session;
    const wanted = { id, sessionId, applicationId, kind, reason, actor };
    const withdrawal = await withdrawSession(db, wanted, clock);
    if (!withdrawal) return undefined;
    const { revoked } = await revokeShareTokens(
      db,
      applicationId,
      { sessionId, kind },
      undefined,
      by,
    );
    return { withdrawnAt: withdrawal.at, revoked };
  });
  if (!done) throw new ServiceError({ reason: 'SESSION_NOT_FOUND', sessionId });
  annotate({ revoked: done.revoked });
  return done;
}
