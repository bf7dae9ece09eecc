import {
  SessionKind as WireKind,
  SessionStatus as WireStatus,
  type ImportSessionResponse,
} from '../gen/sessionimport/v1/session_import';
import type { ImportedSession, SessionKind, SessionStatus } from '../import/session';

const wireKinds: Readonly<Record<SessionKind, WireKind>> = {
  user: WireKind.SESSION_KIND_USER,
  business: WireKind.SESSION_KIND_BUSINESS,
};

const wireStatuses: Readonly<Record<SessionStatus, WireStatus>> = {
  'Not Started': WireStatus.SESSION_STATUS_NOT_STARTED,
  'In Progress': WireStatus.SESSION_STATUS_IN_PROGRESS,
  'Awaiting User': WireStatus.SESSION_STATUS_AWAITING_USER,
  'In Review': WireStatus.SESSION_STATUS_IN_REVIEW,
  Approved: WireStatus.SESSION_STATUS_APPROVED,
  Declined: WireStatus.SESSION_STATUS_DECLINED,
  Resubmitted: WireStatus.SESSION_STATUS_RESUBMITTED,
  Expired: WireStatus.SESSION_STATUS_EXPIRED,
  'Kyc Expired': WireStatus.SESSION_STATUS_KYC_EXPIRED,
  Abandoned: WireStatus.SESSION_STATUS_ABANDONED,
};

/** The answer of a call that only checks: less what is made by importing (AIP-163). */
export function validatedResponse(session: ImportedSession): ImportSessionResponse {
  const { session: told, clonedRelations } = importSessionResponse(session, '');
  const notMade = { sessionId: '', sessionNumber: 0, sessionUrl: '', createdAt: undefined };
  return { session: told && { ...told, ...notMade }, clonedRelations };
}

/** The answer that tells of an imported session. */
export function importSessionResponse(
  session: ImportedSession,
  sessionBaseUrl: string,
): ImportSessionResponse {
  return {
    session: {
      sessionId: session.sessionId,
      sessionNumber: session.sessionNumber,
      sessionUrl: `${sessionBaseUrl}/${session.sessionToken}`,
      sessionKind: wireKinds[session.kind],
      status: wireStatuses[session.status],
      workflowId: session.workflowId,
      vendorData: session.vendorData ?? undefined,
      sharedFromSession: session.sourceSessionId,
      sharedFromApplication: session.sourceApplicationId,
      createdAt: session.createdAt,
    },
    clonedRelations: session.clonedRows.map(({ relation, rows }) => ({ relation, rows })),
  };
}
