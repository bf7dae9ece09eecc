import { z } from 'zod';
import type {
  ListSessionsRequest,
  ListSessionsResponse,
} from '../../gen/sessionimport/v1/session_read';
import type { ApplicationId, SessionId } from '../../model/ids';
import { sessionKinds, type SessionStatus } from '../../model/session';
import { listSessions as list, sessionKeyset, type SessionFilter } from '../../store/sessions/list';
import type { Caller } from '../call/callers';
import { PageTokens } from '../call/page-tokens';
import {
  boundedList,
  checkRequest,
  emptyPeriod,
  knownValue,
  moment,
  optionalId,
  vendorData,
} from '../call/request';
import type { HandlerContext } from '../context';
import { wantedKind, wantedKinds, wireStatuses } from '../wire';
import { wireSummary } from './wire-session';

const schema = z.object({
  session_kind: knownValue(wantedKinds),
  statuses: boundedList(knownValue(Object.values(wireStatuses))),
  vendor_data: vendorData.optional(),
  shared_from_session: optionalId<SessionId>(),
  shared_from_application: optionalId<ApplicationId>(),
  created_since: moment.optional(),
  created_until: moment.optional(),
});

/** Lists sessions of the caller's application, newest first. */
export async function listSessions(
  request: ListSessionsRequest,
  { applicationId }: Caller,
  { onDatabase, annotate }: HandlerContext,
): Promise<ListSessionsResponse> {
  const filter = parseFilter(request);
  const tokens = new PageTokens(['ListSessions', applicationId, filter], sessionKeyset);
  const page = tokens.read(request);
  const { items, end } = await onDatabase((db) => list(db, applicationId, filter, page));
  annotate({ listed: items.length });
  return { sessions: items.map(wireSummary), nextPageToken: tokens.after(end) };
}

function parseFilter(request: ListSessionsRequest): SessionFilter {
  const { createdSince: since, createdUntil: until } = request;
  const fields = checkRequest(
    schema,
    {
      session_kind: request.sessionKind,
      statuses: request.statuses,
      vendor_data: request.vendorData,
      shared_from_session: request.sharedFromSession,
      shared_from_application: request.sharedFromApplication,
      created_since: since,
      created_until: until,
    },
    [emptyPeriod(since, until, 'created_until', 'must be after created_since')],
  );
  const kind = wantedKind(fields.session_kind);
  const statuses = Object.keys(wireStatuses) as SessionStatus[];
  return {
    kinds: kind === undefined ? sessionKinds : [kind],
    statuses: statuses.filter((status) => fields.statuses.includes(wireStatuses[status])),
    vendorData: fields.vendor_data,
    sharedFromSession: fields.shared_from_session,
    sharedFromApplication: fields.shared_from_application,
    createdSince: fields.created_since,
    createdUntil: fields.created_until,
  };
}
