import type { handleUnaryCall } from '@grpc/grpc-js';
import { requirePrivilege, type Caller } from '../auth/callers';
import { ServiceError } from '../errors';
import type {
  ImportSessionRequest,
  ImportSessionResponse,
} from '../gen/sessionimport/v1/session_import';
import type { ImportEnding } from '../import/observer';
import { inSpan } from '../telemetry/tracing';
import type { VerifiedShareToken } from '../token/share-token';
import type { Context } from './context';
import { parseImportSessionRequest } from './import-session-request';
import { importSessionResponse } from './import-session-response';
import { tenths, unary } from './unary';

const name = { service: 'sessionimport.v1.SessionImport', method: 'ImportSession' };

/** What is known of a call when it ends. */
type Known = { -readonly [Fact in Exclude<keyof ImportEnding, 'result'>]: ImportEnding[Fact] };

/** Clones the session behind a share token into the caller's application. */
export function importSession(
  context: Context,
): handleUnaryCall<ImportSessionRequest, ImportSessionResponse> {
  return unary(name, context, async (call, onEnd) => {
    const known: Known = { kind: undefined, trusted: undefined, clonedRows: [] };
    onEnd((ended) => {
      context.observer.callEnded({ ...known, result: ended === 'OK' ? 'imported' : ended });
    });

    const caller = await inSpan('authenticate', () =>
      context.callers.authenticate(call.credentials),
    );
    call.note({ application_id: caller.applicationId, ...actorFacts(caller) });
    requirePrivilege(caller, 'write:sessions');
    context.rateLimiter.admit(caller.applicationId);

    const request = parseImportSessionRequest(call.request);
    known.trusted = request.trustReview;
    const token = await inSpan('verify the share token', () =>
      context.shareTokens.verify(request.shareToken),
    );
    known.kind = token.kind;
    call.note({
      session_kind: token.kind,
      shared_from_session: token.sessionId,
      shared_from_application: token.fromApplicationId,
    });
    requireSharedWith(caller, token);

    const session = await context.imports.submit(
      {
        kind: token.kind,
        applicationId: caller.applicationId,
        actor: caller.actor,
        sourceApplicationId: token.fromApplicationId,
        sourceSessionId: token.sessionId,
        token: token.trace,
        workflowId: request.workflowId,
        vendorData: request.vendorData,
        trustReview: request.trustReview,
      },
      {
        signal: call.signal,
        begun: ({ calls, waitedMs }) => {
          call.note({ group_size: calls, queue_ms: tenths(waitedMs) });
        },
      },
    );
    known.clonedRows = session.clonedRows;
    call.note({ session_id: session.sessionId });
    return importSessionResponse(session, context.sessionBaseUrl);
  });
}

function actorFacts({ actor }: Caller): Record<string, string> {
  return actor.apiKeyId === null ? { gateway: actor.gateway } : { api_key_id: actor.apiKeyId };
}

function requireSharedWith({ applicationId }: Caller, token: VerifiedShareToken): void {
  if (token.forApplicationId !== applicationId) {
    throw new ServiceError({ reason: 'SHARE_TOKEN_NOT_FOR_APPLICATION', applicationId });
  }
}
