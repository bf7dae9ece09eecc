import { toServiceError } from '../../db/errors';
import type { ImportResult } from '../../import/request';
import { isRefusal } from '../../import/refusal-recorder';
import {
  ImportSessionResponse,
  type ImportSessionRequest,
} from '../../gen/sessionimport/v1/session_import';
import { ServiceError } from '../../model/problems';
import type { ClonedRows, ImportedSession } from '../../model/session';
import { inSpan } from '../../telemetry/spans';
import {
  ExpiredShareToken,
  type GenuineShareToken,
  type VerifiedShareToken,
} from '../../token/share-token';
import type { Caller } from '../call/callers';
import type { Gate } from '../call/gate';
import { tenths } from '../call/running-call';
import type { CallContext } from '../context';
import { parseImportSessionRequest, type ParsedImportSessionRequest } from './request';
import { importSessionResponse, validatedResponse } from './response';

/** Clones the session behind a share token into the caller's application. */
export async function importSession(
  request: ImportSessionRequest,
  gate: Gate,
  context: CallContext,
): Promise<ImportSessionResponse> {
  return new ImportAttempt(request, context).carryOut(gate);
}

/** An attempt to import, and what is known of it so far. */
class ImportAttempt {
  private caller: Caller | undefined;
  private token: GenuineShareToken | undefined;
  private trusted: boolean | undefined;
  private imported: ImportedSession | undefined;
  private result = '';

  constructor(
    private readonly request: ImportSessionRequest,
    private readonly context: CallContext,
  ) {}

  /** Answers the call, or records the refusal. Tells the observer in both cases. */
  async carryOut(gate: Gate): Promise<ImportSessionResponse> {
    try {
      this.caller = await gate.authenticate();
      gate.authorize(this.caller);
      const result = await this.import(this.caller);
      this.result = result.type;
      return this.answer(result);
    } catch (error) {
      const told = await this.recordRefusal(error);
      this.result = this.context.resultOf(told);
      throw told;
    } finally {
      this.context.observer.callEnded({
        kind: this.token?.kind,
        trusted: this.trusted,
        result: this.result,
        clonedRows: this.imported?.clonedRows ?? [],
        linkedRows: linkedRowsOf(this.imported),
      });
    }
  }

  /** Checks the request and its token, in the order of `ErrorReason`, and waits for the import. */
  private async import(caller: Caller): Promise<ImportResult> {
    const { storedAnswers, shareTokens, imports, requireConnections, signal, annotate } =
      this.context;
    const request = parseImportSessionRequest(this.request);
    const { idempotencyKey } = request;
    this.trusted = request.trustReview;
    if (idempotencyKey) {
      annotate({ idempotency_key: idempotencyKey.id });
      const answer = await storedAnswers.find(caller.applicationId, idempotencyKey);
      if (answer) return { type: 'replayed', answer };
    }

    const token = await inSpan('verify the share token', () =>
      shareTokens.verify(request.shareToken),
    );
    this.token = token;
    annotate({
      session_kind: token.kind,
      shared_from_session: token.sessionId,
      shared_from_application: token.fromApplicationId,
    });
    requireSharedWith(caller, token);
    const linkedWorkflowId = linkedWorkflowOf(request, token);

    return imports.submit(
      {
        kind: token.kind,
        applicationId: caller.applicationId,
        actor: caller.actor,
        sourceApplicationId: token.fromApplicationId,
        sourceSessionId: token.sessionId,
        permit: { token: token.fingerprint, linkedTo: null },
        scope: token.scope,
        workflowId: request.workflowId,
        linkedWorkflowId,
        vendorData: request.vendorData,
        trustReview: request.trustReview,
        acceptance: request.acceptance,
        asked: requireConnections
          ? {
              kind: token.kind,
              linkedSessions: linkedWorkflowId !== null,
              trustReview: request.trustReview,
              ttl: token.lifetime,
              relations: token.scope,
              grounds: token.fingerprint.grounds !== null,
            }
          : null,
        idempotency: idempotencyKey && {
          ...idempotencyKey,
          encode: (session) => encode(this.responseOf(session)),
        },
        validateOnly: request.validateOnly,
      },
      {
        signal,
        begun: ({ calls, waitedMs }) => {
          annotate({ group_size: calls, queue_ms: tenths(waitedMs) });
        },
      },
    );
  }

  private answer(result: ImportResult): ImportSessionResponse {
    switch (result.type) {
      case 'imported': {
        this.imported = result.session;
        const response = this.responseOf(result.session);
        this.annotateCopies(response);
        return response;
      }
      case 'validated':
        this.context.annotate({ validated: true });
        return validatedResponse(result.session, this.context.sessionBaseUrl);
      case 'replayed': {
        const response = ImportSessionResponse.decode(result.answer);
        this.annotateCopies(response);
        this.context.annotate({ replayed: true });
        return response;
      }
    }
  }

  private responseOf(session: ImportedSession): ImportSessionResponse {
    return importSessionResponse(session, this.context.sessionBaseUrl);
  }

  private annotateCopies({ session, linkedSessions }: ImportSessionResponse): void {
    this.context.annotate({
      session_id: session?.sessionId ?? '',
      ...(linkedSessions.length > 0 ? { linked_sessions: linkedSessions.length } : {}),
    });
  }

  /**
   * Records a refused import, or a refused preview, before its caller is told. Nothing is recorded if
   * the caller is unknown. A malformed request is recorded as well.
   *
   * @returns the error for the caller: the refusal, or why it could not be recorded. A caller must not learn of a
   * refusal that is not on record.
   */
  private async recordRefusal(error: unknown): Promise<unknown> {
    const { problem } = toServiceError(error);
    const { reason } = problem;
    if (!this.caller || !isRefusal(reason)) return error;
    const token = error instanceof ExpiredShareToken ? error.token : this.token;
    const preview = this.request.validateOnly ?? false;
    const acceptance = problem.reason === 'ACCEPTANCE_NOT_MET' ? problem.rules : null;
    const connectionId =
      problem.reason === 'CONNECTION_TERMS_EXCEEDED' ? problem.connectionId : null;
    const judgedBy = { acceptance, connectionId };
    try {
      await this.context.refusals.record({ ...this.caller, reason, preview, ...judgedBy, token });
      return error;
    } catch (unrecorded) {
      this.context.annotate({ unrecorded_refusal: reason });
      return unrecorded;
    }
  }
}

function linkedRowsOf(imported: ImportedSession | undefined): readonly ClonedRows[] {
  const linked = imported?.linkedSessions ?? [];
  return linked.flatMap((each) => (each.importedBefore ? [] : each.clonedRows));
}

function encode(response: ImportSessionResponse): Buffer {
  return Buffer.from(ImportSessionResponse.encode(response).finish());
}

function requireSharedWith({ applicationId }: Caller, token: VerifiedShareToken): void {
  if (token.forApplicationId !== applicationId) {
    throw new ServiceError({ reason: 'SHARE_TOKEN_NOT_FOR_APPLICATION', applicationId });
  }
}

/**
 * The workflow for the sessions of key people; null: they are not imported. These sessions contain far more
 * about people than the company's session, so the token must include them explicitly.
 */
function linkedWorkflowOf(
  { linkedWorkflowId }: ParsedImportSessionRequest,
  { kind, linkedSessions, sessionId }: VerifiedShareToken,
): ParsedImportSessionRequest['linkedWorkflowId'] {
  if (kind !== 'business' || linkedWorkflowId === null) return null;
  if (linkedSessions) return linkedWorkflowId;
  throw new ServiceError({ reason: 'LINKED_SESSIONS_NOT_SHARED', sourceSessionId: sessionId });
}
