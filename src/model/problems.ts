import type { AcceptanceRules, AcceptanceViolation } from './acceptance';
import type { ConnectionTerm } from './connection';
import type { ApplicationId, ConnectionId, SessionId, ShareTokenId, WorkflowId } from './ids';
import type { SessionKind, SessionStatus } from './session';

/** What is wrong with one field of a request. */
export interface FieldViolation {
  /** The field's name in the proto file. */
  readonly field: string;
  /** What it must be. */
  readonly description: string;
}

/**
 * Everything that a call can fail with, and the facts of each failure. Facts are ids and statuses:
 * never a secret, and never what the caller or a verified person wrote.
 *
 * The reasons are those of `ErrorReason` in the proto file, in the same order; which gRPC status
 * each becomes is decided in `rpc/call/status.ts` alone.
 */
export type Problem =
  | { readonly reason: 'CREDENTIALS_AMBIGUOUS' }
  | { readonly reason: 'API_KEY_INVALID' }
  | { readonly reason: 'GATEWAY_NOT_TRUSTED' }
  | { readonly reason: 'APPLICATION_NOT_FOUND' }
  | {
      readonly reason: 'RATE_LIMITED';
      /** When there is room for another call, in milliseconds from now. */
      readonly retryAfter: number;
    }
  | { readonly reason: 'PRIVILEGE_MISSING'; readonly privilege: string }
  | { readonly reason: 'INVALID_REQUEST'; readonly violations: readonly FieldViolation[] }
  | { readonly reason: 'SHARING_NOT_CONFIGURED' }
  | { readonly reason: 'REQUEST_ID_REUSED' }
  | {
      readonly reason: 'KEY_SET_UNAVAILABLE';
      /** When the keys are read again, in milliseconds from now. */
      readonly retryAfter: number;
    }
  | {
      readonly reason: 'SHARE_TOKEN_INVALID';
      readonly why: string;
      /** What to do about it, as a sentence; undefined: ask for a new token. */
      readonly remedy?: string;
    }
  | { readonly reason: 'SHARE_TOKEN_EXPIRED'; readonly expiredAt: Date }
  | { readonly reason: 'SHARE_TOKEN_NOT_FOR_APPLICATION'; readonly applicationId: ApplicationId }
  | { readonly reason: 'LINKED_SESSIONS_NOT_SHARED'; readonly sourceSessionId: SessionId }
  | {
      readonly reason: 'SESSION_ALREADY_IMPORTED';
      readonly sessionId: SessionId;
      readonly sourceSessionId: SessionId;
    }
  | { readonly reason: 'SHARE_TOKEN_REVOKED'; readonly shareTokenId: ShareTokenId }
  | {
      readonly reason: 'CONNECTION_NOT_ACTIVE';
      /** The source and the recipient of the connection that is missing. */
      readonly sourceApplicationId: ApplicationId;
      readonly recipientApplicationId: ApplicationId;
    }
  | {
      readonly reason: 'CONNECTION_TERMS_EXCEEDED';
      readonly connectionId: ConnectionId;
      readonly term: ConnectionTerm;
    }
  | {
      readonly reason: 'SOURCE_SESSION_NOT_FOUND';
      readonly kind: SessionKind;
      readonly sourceSessionId: SessionId;
      readonly sourceApplicationId: ApplicationId;
    }
  | { readonly reason: 'SOURCE_SESSION_WITHDRAWN'; readonly sourceSessionId: SessionId }
  | {
      readonly reason: 'SOURCE_SESSION_NOT_FINISHED';
      readonly sourceSessionId: SessionId;
      readonly status: SessionStatus;
    }
  | { readonly reason: 'WORKFLOW_NOT_FOUND'; readonly workflowId: WorkflowId }
  | {
      readonly reason: 'WORKFLOW_KIND_MISMATCH';
      readonly workflowId: WorkflowId;
      readonly workflowKind: SessionKind;
      readonly sessionKind: SessionKind;
    }
  | {
      readonly reason: 'TOO_MANY_LINKED_SESSIONS';
      readonly sourceSessionId: SessionId;
      /** The most that may come along. */
      readonly limit: number;
    }
  | {
      readonly reason: 'ACCEPTANCE_NOT_MET';
      readonly sourceSessionId: SessionId;
      /** The rules for the source session: those for linked sessions can differ. */
      readonly rules: AcceptanceRules;
      readonly violations: readonly AcceptanceViolation[];
      /** How many violations there are, including those that are not listed because there are too many. */
      readonly count: number;
    }
  | { readonly reason: 'SESSION_TOO_LARGE' }
  | { readonly reason: 'SESSION_NOT_FOUND'; readonly sessionId: SessionId }
  | { readonly reason: 'SESSION_WITHDRAWN'; readonly sessionId: SessionId }
  | {
      readonly reason: 'SESSION_NOT_FINISHED';
      readonly sessionId: SessionId;
      readonly status: SessionStatus;
    }
  | {
      readonly reason: 'SESSION_ON_HOLD';
      readonly sessionId: SessionId;
      /** When the hold ends; null: when it is taken back. */
      readonly until: Date | null;
    }
  | { readonly reason: 'RECIPIENT_NOT_FOUND'; readonly applicationId: ApplicationId }
  | {
      readonly reason: 'TOO_MANY_SHARE_TOKENS';
      readonly sessionId: SessionId;
      readonly limit: number;
    }
  | { readonly reason: 'SHARE_TOKEN_NOT_FOUND'; readonly shareTokenId: ShareTokenId }
  | { readonly reason: 'WITHDRAWAL_NOT_FOUND'; readonly sessionId: SessionId }
  | { readonly reason: 'CONNECTION_NOT_FOUND'; readonly connectionId: ConnectionId }
  | { readonly reason: 'CONNECTION_OWN_PROPOSAL'; readonly connectionId: ConnectionId }
  | { readonly reason: 'CONNECTION_ENDED'; readonly connectionId: ConnectionId }
  | {
      readonly reason: 'TOO_MANY_PROPOSALS';
      /** The most that may be open, or that may be made to one application lately. */
      readonly limit: number;
      /** The application to which too many were made lately; absent: too many are open. */
      readonly otherApplicationId?: ApplicationId;
    }
  | {
      readonly reason: 'EVENT_CURSOR_EXPIRED';
      /** The first cursor after which no event is missing. */
      readonly oldestAfter: number;
    }
  | { readonly reason: 'EVENT_CURSOR_AHEAD'; readonly lastSequence: number }
  | {
      readonly reason: 'TOO_MANY_WATCHES';
      /** The most that the application may have open now. */
      readonly limit: number;
    }
  | { readonly reason: 'OVERLOADED' }
  | { readonly reason: 'CONFLICT' }
  | { readonly reason: 'DATABASE_TOO_SLOW' }
  | { readonly reason: 'DATABASE_UNAVAILABLE' }
  | { readonly reason: 'INTERNAL' };

export type Reason = Problem['reason'];

/**
 * The one error that the service's own code throws on purpose: a problem that the caller is told.
 *
 * @example
 * ```ts
 * throw new ServiceError({ reason: 'PRIVILEGE_MISSING', privilege: 'write:sessions' });
 * ```
 */
export class ServiceError extends Error {
  override readonly name = 'ServiceError';

  constructor(
    readonly problem: Problem,
    options?: ErrorOptions,
  ) {
    super(problem.reason, options);
  }
}

/** The call was cancelled, or its deadline passed, before its work began. Nothing was written. */
export class CallAbandoned extends Error {
  override readonly name = 'CallAbandoned';
}

/** The symbolic code of an error of Node.js or a library, such as `ECONNREFUSED`, where it has one. */
export function errorCode(error: Error): string | undefined {
  return 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
