import type { Session } from '../../gen/sessionimport/v1/session_import';
import type { SessionDetails as WireDetails } from '../../gen/sessionimport/v1/session_read';
import { withheldBy } from '../../model/scope';
import type { SessionDetails, SessionSummary } from '../../store/sessions/find';
import { wireRetention } from '../erasure/wire';
import { wireKinds, wireStatuses } from '../wire';

/** A session as a list shows it: its URL holds a secret, and is left out. */
export function wireSummary(session: SessionSummary): Session {
  return {
    sessionId: session.sessionId,
    sessionNumber: session.sessionNumber,
    sessionUrl: '',
    sessionKind: wireKinds[session.kind],
    status: wireStatuses[session.status],
    workflowId: session.workflowId,
    vendorData: session.vendorData ?? undefined,
    sharedFromSession: session.sharedFrom?.sessionId ?? '',
    sharedFromApplication: session.sharedFrom?.applicationId ?? '',
    createdAt: session.createdAt,
  };
}

/** A session as the contract writes it. */
export function wireDetails(session: SessionDetails, sessionBaseUrl: string): WireDetails {
  return {
    session: {
      ...wireSummary(session),
      sessionUrl: `${sessionBaseUrl}/${session.sessionToken}`,
    },
    updatedAt: session.updatedAt,
    workflowVersion: session.workflowVersion,
    features: session.features ?? undefined,
    expectedDetails: session.expectedDetails ?? undefined,
    contactDetails: session.contactDetails ?? undefined,
    language: session.language ?? undefined,
    metadata: session.metadata ?? undefined,
    callback: session.callback ?? undefined,
    verifiedAt: session.verifiedAt ?? undefined,
    withheldRelations: [...withheldBy(session.scope, session.kind)],
    retention: wireRetention(session.retention),
    withdrawnAt: session.withdrawnAt ?? undefined,
  };
}
