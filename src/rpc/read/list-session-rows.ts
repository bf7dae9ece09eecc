import { z } from 'zod';
import type {
  ListSessionRowsRequest,
  ListSessionRowsResponse,
} from '../../gen/sessionimport/v1/session_read';
import type { SessionId } from '../../model/ids';
import { ServiceError } from '../../model/problems';
import { kindSchemas, type Relation } from '../../model/relations';
import type { Caller } from '../call/callers';
import { checkRequest, invalidField, requiredId, text } from '../call/request';
import type { HandlerContext } from '../context';
import { cut } from './cut';
import { rowPageTokens } from './row-page-tokens';
import { wireRelations } from './wire-relations';

/** Every relation by its name. If both kinds have it, its rows have the same order in both. */
const relations: ReadonlyMap<string, Relation> = new Map(
  Object.values(kindSchemas).flatMap((schema) =>
    schema.relations.map((relation) => [relation.name, relation] as const),
  ),
);

const relation = text.min(1, 'is required').transform((name, check): Relation => {
  const found = relations.get(name);
  if (found) return found;
  check.addIssue(`must be one of ${[...relations.keys()].join(', ')}`);
  return z.NEVER;
});

const schema = z.object({ session_id: requiredId<SessionId>(), relation });

/** How large a page is at most, in bytes, unless a single row is larger. */
const bytesOfPage = 2 * 1024 * 1024;

/** Lists the rows of one relation of a session of the caller's application. */
export async function listSessionRows(
  request: ListSessionRowsRequest,
  { applicationId }: Caller,
  { onDatabase, sessions, annotate }: HandlerContext,
): Promise<ListSessionRowsResponse> {
  const { session_id: sessionId, relation: wanted } = checkRequest(schema, {
    session_id: request.sessionId,
    relation: request.relation,
  });
  const tokens = rowPageTokens(applicationId, sessionId, wanted);
  const { size, after } = tokens.read(request);
  const room = { bytes: bytesOfPage, always: true };
  const reading = await onDatabase((db) =>
    sessions.readRows(db, applicationId, sessionId, wanted.name, {
      ...room,
      after,
      limit: size + 1,
    }),
  );
  if (!reading) throw new ServiceError({ reason: 'SESSION_NOT_FOUND', sessionId });
  const { kind, found } = reading;
  if (!found) {
    const names = kindSchemas[kind].relations.map(({ name }) => name);
    throw invalidField('relation', `must be one of a ${kind} session: ${names.join(', ')}`);
  }
  const { shown, end } = cut(found.relation, found.rows, { ...room, rows: size });
  annotate({ session_kind: kind, session_id: sessionId, listed: shown.length });
  return {
    relations: wireRelations(kind, { [found.relation.name]: shown }),
    nextPageToken: tokens.after(end),
  };
}
