import { z } from 'zod';
import type {
  SetRetentionRequest,
  SetRetentionResponse,
} from '../../gen/sessionimport/v1/session_erasure';
import { read } from '../../db/query';
import { maxReference } from '../../model/grounds';
import type { SessionId } from '../../model/ids';
import { ServiceError, type FieldViolation } from '../../model/problems';
import type { Retention } from '../../model/retention';
import { setRetention as storeRetention } from '../../store/retention';
import { sessionById } from '../../store/sessions/find';
import { readSurely } from '../../store/surely';
import type { Caller } from '../call/callers';
import {
  brokenIf,
  checkingClock,
  checkRequest,
  moment,
  optionalCode,
  requiredId,
} from '../call/request';
import type { HandlerContext } from '../context';
import { wireRetention } from './wire';

/** Says how long a session of the caller's application is kept. */
export async function setRetention(
  request: SetRetentionRequest,
  { applicationId, actor }: Caller,
  { onDatabase, clock, annotate }: HandlerContext,
): Promise<SetRetentionResponse> {
  const { sessionId, retention } = parse(request, clock());
  annotate({ session_id: sessionId });
  const kind = await onDatabase(async (db) => {
    const session = await readSurely(db, (from) =>
      read(from, sessionById(sessionId, applicationId)),
    );
    if (!session) return undefined;
    const set = {
      sessionId,
      kind: session.kind,
      owner: applicationId,
      retention,
      actor,
      clock: checkingClock(clock, (now) => parse(request, now)),
    };
    return (await storeRetention(db, set)) ? session.kind : undefined;
  });
  if (!kind) throw new ServiceError({ reason: 'SESSION_NOT_FOUND', sessionId });
  annotate({ session_kind: kind, held: retention.hold !== null });
  return { retention: wireRetention(retention) };
}

interface Wanted {
  readonly sessionId: SessionId;
  readonly retention: Retention;
}

const schema = z.object({
  session_id: requiredId<SessionId>(),
  retention: z
    .object({
      erase_after: moment.optional(),
      hold: z
        .object({ until: moment.optional(), reference: optionalCode(maxReference) })
        .optional(),
    })
    .optional(),
});

function parse({ sessionId, retention }: SetRetentionRequest, now: Date): Wanted {
  const past = (at: Date | undefined, field: string): FieldViolation | undefined =>
    brokenIf(at !== undefined && at <= now, field, 'must be in the future, when present');
  const fields = checkRequest(
    schema,
    {
      session_id: sessionId,
      retention: retention && { erase_after: retention.eraseAfter, hold: retention.hold },
    },
    [
      past(retention?.eraseAfter, 'retention.erase_after'),
      past(retention?.hold?.until, 'retention.hold.until'),
    ],
  );
  const { erase_after: eraseAfter = null, hold } = fields.retention ?? {};
  return {
    sessionId: fields.session_id,
    retention: {
      eraseAfter,
      hold: hold ? { until: hold.until ?? null, reference: hold.reference ?? null } : null,
    },
  };
}
