import { z } from 'zod';
import type { Cursor } from '../../db/cursor';
import type {
  GetSessionRequest,
  GetSessionResponse,
} from '../../gen/sessionimport/v1/session_read';
import type { SessionId } from '../../model/ids';
import { must } from '../../model/must';
import { ServiceError } from '../../model/problems';
import { relationOf, type Relation } from '../../model/relations';
import type { Row, SessionReading } from '../../store/relations/read';
import type { Caller } from '../call/callers';
import { pageSizeOf } from '../call/page-tokens';
import { checkRequest, requiredId } from '../call/request';
import type { HandlerContext } from '../context';
import { cut, endOf } from './cut';
import { nest } from './nest';
import { rowPageTokens } from './row-page-tokens';
import { wireRelations } from './wire-relations';
import { wireDetails } from './wire-session';

const schema = z.object({ session_id: requiredId<SessionId>() });

/** How much of each relation is shown, in bytes (for all relations together, about two million): whole rows only. */
const room = { bytes: 128 * 1024, always: false };

/** Shows a session of the caller's application, with all that belongs to it. */
export async function getSession(
  request: GetSessionRequest,
  { applicationId }: Caller,
  { onDatabase, sessions, sessionBaseUrl, annotate }: HandlerContext,
): Promise<GetSessionResponse> {
  const { session_id: sessionId } = checkRequest(schema, { session_id: request.sessionId });
  const limit = pageSizeOf(request.relationPageSize, 'relation_page_size');
  const reading = await onDatabase((db) =>
    sessions.readSession(db, applicationId, sessionId, { ...room, limit: limit + 1 }),
  );
  if (!reading) throw new ServiceError({ reason: 'SESSION_NOT_FOUND', sessionId });

  const { session } = reading;
  annotate({ session_kind: session.kind, session_id: sessionId });
  const { shown, ends } = cutAll(reading, limit);
  return {
    session: wireDetails(session, sessionBaseUrl),
    relations: wireRelations(session.kind, nest(shown)),
    more: [...ends].map(([relation, end]) => ({
      relation: relation.name,
      pageToken: rowPageTokens(applicationId, sessionId, relation).after(end),
    })),
  };
}

/** The rows that are shown of each relation, and the cursor of the end where more rows follow. */
interface Cut {
  readonly shown: ReadonlyMap<Relation, readonly Row[]>;
  readonly ends: ReadonlyMap<Relation, Cursor>;
}

function cutAll({ session, rows }: SessionReading, limit: number): Cut {
  const shown = new Map<Relation, readonly Row[]>();
  const ends = new Map<Relation, Cursor>();
  for (const [relation, found] of rows) {
    const { below } = relation;
    let page = cut(relation, found, { ...room, rows: limit });
    if (below) {
      // A child is shown inside its parent. If the parent is on a later page, so is the child.
      const parent = must(relationOf(session.kind, below.relation), below.relation);
      const parentRows = must(shown.get(parent), `the rows of ${parent.name}`);
      const parents = new Set(parentRows.map((row) => row['ordinal']));
      const missing = page.shown.findIndex((row) => !parents.has(row[below.ordinal]));
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
