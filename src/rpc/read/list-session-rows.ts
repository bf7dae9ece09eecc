import type { handleUnaryCall } from '@grpc/grpc-js';
import { z } from 'zod';
import type { SessionId } from '../../model/ids';
import { ServiceError } from '../../model/problems';
import {
  SessionReadService,
  type ListSessionRowsRequest,
  type ListSessionRowsResponse,
} from '../../gen/sessionimport/v1/session_read';
import { sessionKinds } from '../../model/session';
import { relationsOf } from '../../store/relations';
import { authorize } from '../call/authorize';
import type { Context } from '../context';
import { onDatabase } from '../on-database';
import { checkRequest, invalidField, requiredId, text } from '../call/request';
import { rowPages } from './row-pages';
import { unary } from '../call/unary';
import { cut, wireRelations } from './wire-relations';

const relations = new Set(sessionKinds.flatMap(relationsOf).map(({ name }) => name));

const schema = z.object({
  session_id: requiredId<SessionId>(),
  relation: text
    .min(1, 'is required')
    .refine((name) => relations.has(name), `must be one of ${[...relations].join(', ')}`),
});

/** How large a page is at most, in bytes, unless a single row is larger. */
const bytesOfPage = 2 * 1024 * 1024;

/** Lists the rows of one relation of a session of the caller's application. */
export function listSessionRows(
  context: Context,
): handleUnaryCall<ListSessionRowsRequest, ListSessionRowsResponse> {
  return unary(SessionReadService.listSessionRows, context, async (call) => {
    const { applicationId } = await authorize(call, context, 'read:sessions');
    const { session_id: sessionId, relation } = checkRequest(schema, {
      session_id: call.request.sessionId,
      relation: call.request.relation,
    });
    const pages = rowPages(applicationId, sessionId, relation);
    const { size, after } = pages.read(call.request);
    const reading = await onDatabase(context, (db) =>
      context.sessions.readRows(db, applicationId, sessionId, relation, {
        after,
        limit: size + 1,
        bytes: bytesOfPage,
      }),
    );
    if (!reading) throw new ServiceError({ reason: 'SESSION_NOT_FOUND', sessionId });
    const { kind, rows } = reading;
    if (!rows) {
      const names = relationsOf(kind).map(({ name }) => name);
      throw invalidField('relation', `must be one of a ${kind} session: ${names.join(', ')}`);
    }
    const { shown, end } = cut(kind, relation, rows, {
      rows: size,
      bytes: bytesOfPage,
      always: true,
    });
    call.note({ session_kind: kind, session_id: sessionId, listed: shown.length });
    return {
      relations: wireRelations(kind, { [relation]: shown }),
      nextPageToken: pages.tokenAfter(end),
    };
  });
}
