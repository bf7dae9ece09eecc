import type { ImportSessionResponse } from '../gen/sessionimport/v1/session_import';
import type { ImportedSession } from '../import/session';
import { wireKinds, wireStatuses } from './wire';

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
