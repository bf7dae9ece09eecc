import type { handleUnaryCall } from '@grpc/grpc-js';
import type { Caller } from '../call/callers';
import { ServiceError } from '../../model/problems';
import {
  ImportSessionResponse,
  SessionImportService,
  type ImportSessionRequest,
} from '../../gen/sessionimport/v1/session_import';
import type { ImportEnding } from '../../import/observer';
import type { ImportedSession, KeptAnswer } from '../../model/session';
import { inSpan } from '../../telemetry/spans';
import type { VerifiedShareToken } from '../../token/share-token';
import { admit, identify } from '../call/authorize';
import type { Context } from '../context';
import { parseImportSessionRequest } from './request';
import { importSessionResponse, validatedResponse } from './response';
import { recordingRefusals, type AttemptHandler } from './attempt';
import { tenths, unary, type Call } from '../call/unary';

/** What is known of a call when it ends; a good one ends as `result` says. */
type Known = { -readonly [Fact in keyof ImportEnding]: ImportEnding[Fact] };

/** Clones the session behind a share token into the caller's application. */
export function importSession(
  context: Context,
): handleUnaryCall<ImportSessionRequest, ImportSessionResponse> {
  const handle: AttemptHandler<ImportSessionResponse> = async (call, onEnd, attempt) => {
    const known: Known = {
      kind: undefined,
      trusted: undefined,
      result: 'imported',
      clonedRows: [],
      linkedRows: [],
    };
    onEnd((ended) => {
      const result = ended === 'OK' ? known.result : ended;
      context.observer.callEnded({ ...known, result });
    });

    const caller = await identify(call, context);
    attempt.caller = caller;
    admit(caller, context, 'write:sessions');

    const request = parseImportSessionRequest(call.request);
    const { identity, validateOnly } = request;
    known.trusted = request.trustReview;
    const earlier = identity && (await context.keptAnswers.find(caller.applicationId, identity));
    if (earlier) return answerAgain(call, known, earlier);

    const token = await inSpan('verify the share token', () =>
      context.shareTokens.verify(request.shareToken),
    );
    attempt.token = token;
    known.kind = token.kind;
    call.note({
      session_kind: token.kind,
      shared_from_session: token.sessionId,
      shared_from_application: token.fromApplicationId,
    });
    requireSharedWith(caller, token);
    const linkedWorkflowId = token.kind === 'business' ? request.linkedWorkflowId : null;
    if (linkedWorkflowId !== null) requireLinkedSessions(token);

    const respond = (session: ImportedSession): ImportSessionResponse =>
      importSessionResponse(session, context.sessionBaseUrl);
    const answer = await context.imports.submit(
      {
        kind: token.kind,
        applicationId: caller.applicationId,
        actor: caller.actor,
        sourceApplicationId: token.fromApplicationId,
        sourceSessionId: token.sessionId,
        grounds: { token: token.trace, linkedTo: null },
        workflowId: request.workflowId,
        linkedWorkflowId,
        vendorData: request.vendorData,
        trustReview: request.trustReview,
        remembered: identity && { ...identity, encode: (session) => encode(respond(session)) },
        validateOnly,
      },
      {
        signal: call.signal,
        begun: ({ calls, waitedMs }) => {
          call.note({ group_size: calls, queue_ms: tenths(waitedMs) });
        },
      },
    );
    if ('answer' in answer) return answerAgain(call, known, answer);
    if (validateOnly) {
      known.result = 'validated';
      call.note({ validated: true });
      return validatedResponse(answer, context.sessionBaseUrl);
    }
    const response = respond(answer);
    noteCopies(call, response);
    countRows(known, response);
    return response;
  };
  return unary(SessionImportService.importSession, context, recordingRefusals(context, handle));
}

/** Gives the answer that the same request got before: in another call, or in a try whose answer was lost. */
function answerAgain(
  call: Call<ImportSessionRequest>,
  known: Known,
  { answer, own }: KeptAnswer,
): ImportSessionResponse {
  const response = ImportSessionResponse.decode(answer);
  noteCopies(call, response);
  if (own) {
    countRows(known, response);
  } else {
    known.result = 'answered_again';
    call.note({ answered_again: true });
  }
  return response;
}

function noteCopies(
  call: Call<ImportSessionRequest>,
  { session, linkedSessions }: ImportSessionResponse,
): void {
  call.note({ session_id: session?.sessionId ?? '' });
  if (linkedSessions.length > 0) call.note({ linked_sessions: linkedSessions.length });
}

function countRows(known: Known, { clonedRelations, linkedSessions }: ImportSessionResponse): void {
  known.clonedRows = clonedRelations;
  known.linkedRows = linkedSessions.flatMap((linked) => linked.clonedRelations);
}

function encode(response: ImportSessionResponse): Buffer {
  return Buffer.from(ImportSessionResponse.encode(response).finish());
}

function requireSharedWith({ applicationId }: Caller, token: VerifiedShareToken): void {
  if (token.forApplicationId !== applicationId) {
    throw new ServiceError({ reason: 'SHARE_TOKEN_NOT_FOR_APPLICATION', applicationId });
  }
}

/** The sessions behind key people hold far more about them than the company's own: nothing is implied. */
function requireLinkedSessions({ linkedSessions, sessionId }: VerifiedShareToken): void {
  if (!linkedSessions) {
    throw new ServiceError({ reason: 'LINKED_SESSIONS_NOT_SHARED', sourceSessionId: sessionId });
  }
}
