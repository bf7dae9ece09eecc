import type { handleUnaryCall } from '@grpc/grpc-js';
import { z } from 'zod';
import type { SessionId } from '../../model/ids';
import { ServiceError } from '../../model/problems';
import {
  SessionReadService,
  type GetSessionRequest,
  type GetSessionResponse,
} from '../../gen/sessionimport/v1/session_read';
import { childRelations, type Row, type RowKey } from '../../store/relations';
import type { SessionReading } from '../../store/sessions';
import { authorize } from '../call/authorize';
import type { Context } from '../context';
import { onDatabase } from '../on-database';
import { pageSizeOf } from '../call/paging';
import { checkRequest, requiredId } from '../call/request';
import { rowPages } from './row-pages';
import { unary } from '../call/unary';
import { cut, endOf, nest, wireRelations } from './wire-relations';
import { wireDetails } from './wire-session';

const schema = z.object({ session_id: requiredId<SessionId>() });

/** How much of each relation is shown, in bytes: all of them together are some two million. */
const bytesOfRelation = 128 * 1024;

/** Shows a session of the caller's application, with all that belongs to it. */
export function getSession(
  context: Context,
): handleUnaryCall<GetSessionRequest, GetSessionResponse> {
  return unary(SessionReadService.getSession, context, async (call) => {
    const { applicationId } = await authorize(call, context, 'read:sessions');
    const { session_id: sessionId } = checkRequest(schema, { session_id: call.request.sessionId });
    const limit = pageSizeOf(call.request.relationPageSize, 'relation_page_size');
    const reading = await onDatabase(context, (db) =>
      context.sessions.readSession(db, applicationId, sessionId, {
        limit: limit + 1,
        bytes: bytesOfRelation,
      }),
    );
    if (!reading) throw new ServiceError({ reason: 'SESSION_NOT_FOUND', sessionId });

    const { session } = reading;
    call.note({ session_kind: session.kind, session_id: sessionId });
    const { shown, ends } = cutAll(reading, limit);
    return {
      session: wireDetails(session, context.sessionBaseUrl),
      relations: wireRelations(session.kind, nest(shown)),
      more: [...ends].map(([relation, end]) => ({
        relation,
        pageToken: rowPages(applicationId, sessionId, relation).tokenAfter(end),
      })),
    };
  });
}

/** What is shown of each relation, and where that ends if not with its last row. */
interface Cut {
  readonly shown: ReadonlyMap<string, readonly Row[]>;
  readonly ends: ReadonlyMap<string, RowKey>;
}

function cutAll({ session, rows }: SessionReading, limit: number): Cut {
  const room = { rows: limit, bytes: bytesOfRelation, always: false };
  const shown = new Map<string, readonly Row[]>();
  const ends = new Map<string, RowKey>();
  for (const [relation, found] of rows) {
    let page = cut(session.kind, relation, found, room);
    const child = childRelations.get(relation);
    if (child) {
      // A child is shown in its parent, so not before that is.
      const parents = new Set(shown.get(child.parent)?.map((row) => row['ordinal']));
      const missing = page.shown.findIndex((row) => !parents.has(row[child.parentOrdinal]));
      if (missing >= 0) {
        const placed = page.shown.slice(0, missing);
        page = { shown: placed, end: endOf(relation, placed) };
      }
    }
    shown.set(relation, page.shown);
    if (page.end) ends.set(relation, page.end);
  }
  return { shown, ends };
}
