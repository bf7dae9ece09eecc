import type { handleUnaryCall } from '@grpc/grpc-js';
import { z } from 'zod';
import { isUuid, toId, type ApplicationId, type SessionId } from '../../model/ids';
import {
  SessionReadService,
  type ListSessionsRequest,
  type ListSessionsResponse,
} from '../../gen/sessionimport/v1/session_read';
import { sessionKinds, type SessionStatus } from '../../model/session';
import {
  listSessions as list,
  type SessionFilter,
  type SessionPlace,
} from '../../store/session-lists';
import { authorize } from '../call/authorize';
import type { Context } from '../context';
import { onDatabase } from '../on-database';
import { Pages } from '../call/paging';
import { checkRequest, knownValue, moment, optionalId, vendorData } from '../call/request';
import { unary } from '../call/unary';
import { wantedKind, wantedKinds, wireStatuses } from '../wire';
import { wireSummary } from './wire-session';

const schema = z.object({
  session_kind: knownValue(wantedKinds),
  statuses: z.array(knownValue(Object.values(wireStatuses))),
  vendor_data: vendorData.optional(),
  shared_from_session: optionalId<SessionId>(),
  shared_from_application: optionalId<ApplicationId>(),
  created_since: moment.optional(),
  created_until: moment.optional(),
});

/** A page ends with a session: when it was made, and its id. */
const cursor: z.ZodType<SessionPlace> = z.tuple([
  z.iso.datetime({ precision: 6, local: true }),
  z
    .string()
    .refine(isUuid)
    .transform((id) => toId<SessionId>(id)),
]);

/** Lists sessions of the caller's application, newest first. */
export function listSessions(
  context: Context,
): handleUnaryCall<ListSessionsRequest, ListSessionsResponse> {
  return unary(SessionReadService.listSessions, context, async (call) => {
    const { applicationId } = await authorize(call, context, 'read:sessions');
    const filter = parseFilter(call.request);
    const pages = new Pages(['ListSessions', applicationId, filter], cursor);
    const page = pages.read(call.request);
    const { sessions, end } = await onDatabase(context, (db) =>
      list(db, applicationId, filter, page),
    );
    call.note({ listed: sessions.length });
    return { sessions: sessions.map(wireSummary), nextPageToken: pages.tokenAfter(end) };
  });
}

function parseFilter(request: ListSessionsRequest): SessionFilter {
  const fields = checkRequest(schema, {
    session_kind: request.sessionKind,
    statuses: request.statuses,
    vendor_data: request.vendorData,
    shared_from_session: request.sharedFromSession,
    shared_from_application: request.sharedFromApplication,
    created_since: request.createdSince,
    created_until: request.createdUntil,
  });
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
