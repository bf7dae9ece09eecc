import {
  Session,
  type ClonedRelation,
  type ImportSessionResponse,
  type LinkedSession as WireLinkedSession,
} from '../../gen/sessionimport/v1/session_import';
import type { CopiedSession, ImportedSession, LinkedSession } from '../../model/session';
import { wireKinds, wireStatuses } from '../wire';

/** The answer of a validate-only call: without the values that only an import creates (AIP-163). */
export function validatedResponse(
  session: ImportedSession,
  sessionBaseUrl: string,
): ImportSessionResponse {
  const answer = importSessionResponse(session, sessionBaseUrl);
  return {
    ...answer,
    session: notMade(answer.session),
    linkedSessions: answer.linkedSessions.map((linked) =>
      linked.importedBefore ? linked : { ...linked, session: notMade(linked.session) },
    ),
  };
}

function notMade(session: Session | undefined): Session | undefined {
  const made = { sessionId: '', sessionNumber: 0, sessionUrl: '', createdAt: undefined };
  return session && { ...session, ...made };
}

/** The answer that tells of an imported session. */
export function importSessionResponse(
  session: ImportedSession,
  sessionBaseUrl: string,
): ImportSessionResponse {
  return {
    session: wireSession(session, sessionBaseUrl),
    clonedRelations: clonedRelations(session),
    linkedSessions: session.linkedSessions.map((linked) => wireLinked(linked, sessionBaseUrl)),
    withheldRelations: [...session.withheld],
  };
}

/** A session that was imported before is only named: this call's key can lack the privilege to read it. */
function wireLinked(linked: LinkedSession, sessionBaseUrl: string): WireLinkedSession {
  if (!linked.importedBefore) {
    const session = wireSession(linked, sessionBaseUrl);
    return {
      session,
      clonedRelations: clonedRelations(linked),
      importedBefore: false,
      withheldRelations: [...linked.withheld],
    };
  }
  const session = Session.fromPartial({
    sessionId: linked.sessionId,
    sessionKind: wireKinds.user,
    sharedFromSession: linked.sourceSessionId,
    sharedFromApplication: linked.sourceApplicationId,
  });
  return { session, clonedRelations: [], importedBefore: true, withheldRelations: [] };
}

function wireSession(session: CopiedSession, sessionBaseUrl: string): Session {
  return {
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
  };
}

function clonedRelations({ clonedRows }: CopiedSession): ClonedRelation[] {
  return clonedRows.map(({ relation, rows }) => ({ relation, rows }));
}
