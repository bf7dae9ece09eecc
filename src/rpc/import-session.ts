import type { handleUnaryCall } from '@grpc/grpc-js';
import { requirePrivilege, type Caller } from '../auth/callers';
import { ServiceError } from '../errors';
import type {
  ImportSessionRequest,
  ImportSessionResponse,
} from '../gen/sessionimport/v1/session_import';
import type { VerifiedShareToken } from '../token/share-token';
import type { Context } from './context';
import { parseImportSessionRequest } from './import-session-request';
import { importSessionResponse } from './import-session-response';
import { unary } from './unary';

/** Clones the session behind a share token into the caller's application. */
export function importSession(
  context: Context,
): handleUnaryCall<ImportSessionRequest, ImportSessionResponse> {
  return unary('ImportSession', context, async (call) => {
    const caller = await context.callers.authenticate(call.metadata('x-api-key'));
    call.note({ application_id: caller.applicationId, api_key_id: caller.apiKeyId });
    requirePrivilege(caller, 'write:sessions');

    const request = parseImportSessionRequest(call.request);
    const token = await context.shareTokens.verify(request.shareToken);
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
        apiKeyId: caller.apiKeyId,
        sourceApplicationId: token.fromApplicationId,
        sourceSessionId: token.sessionId,
        token: token.trace,
        workflowId: request.workflowId,
        vendorData: request.vendorData,
        trustReview: request.trustReview,
      },
      call.signal,
    );
    call.note({ session_id: session.sessionId });
    return importSessionResponse(session, context.sessionBaseUrl);
  });
}

function requireSharedWith({ applicationId }: Caller, token: VerifiedShareToken): void {
  if (token.forApplicationId !== applicationId) {
    throw new ServiceError({ reason: 'SHARE_TOKEN_NOT_FOR_APPLICATION', applicationId });
  }
}
