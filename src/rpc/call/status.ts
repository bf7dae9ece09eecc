import { Metadata, status, type StatusObject } from '@grpc/grpc-js';
import type { Any } from '../../gen/google/protobuf/any';
import {
  BadRequest,
  ErrorInfo,
  PreconditionFailure,
  ResourceInfo,
  RetryInfo,
  type PreconditionFailure_Violation as PreconditionViolation,
} from '../../gen/google/rpc/error_details';
import { Status } from '../../gen/google/rpc/status';
import type { AcceptanceViolation } from '../../model/acceptance';
import type { Problem, Reason } from '../../model/problems';
import { pushbackKey } from '../server/pushback';

/** The domain of every `google.rpc.ErrorInfo` of this service. */
const errorDomain = 'session-import';

/** Where clients of every language look for error details. */
const detailsKey = 'grpc-status-details-bin';

/** How one problem is reported to the caller. */
interface Answer {
  readonly code: status;
  /** For people: what is wrong, and what to do. */
  readonly message: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly details?: readonly Any[];
  /** The shortest wait before a retry, in milliseconds; absent if a retry is of no use. */
  readonly retryAfter?: number;
}

type Answers = {
  readonly [R in Reason]: (problem: Extract<Problem, { reason: R }>, requestId: string) => Answer;
};

/** The one place where problems become gRPC statuses: the contract's `ErrorReason`, as code. */
const answers: Answers = {
  CREDENTIALS_AMBIGUOUS: () => ({
    code: status.INVALID_ARGUMENT,
    message:
      'Send either x-api-key or, as a trusted gateway, x-application-id, and send it once: otherwise it is not clear who calls.',
  }),
  API_KEY_INVALID: () => ({
    code: status.UNAUTHENTICATED,
    message:
      'Send a valid API key in the metadata x-api-key: it is missing, unknown, revoked or expired.',
  }),
  GATEWAY_NOT_TRUSTED: () => ({
    code: status.PERMISSION_DENIED,
    message:
      'Only a trusted gateway may name the application it acts for in x-application-id, and the certificate of this connection names none. Send x-api-key instead, or have the gateway listed.',
  }),
  APPLICATION_NOT_FOUND: () => ({
    code: status.NOT_FOUND,
    message: 'In x-application-id, send the UUID of an application that exists.',
  }),
  RATE_LIMITED: ({ retryAfter: milliseconds }) => ({
    code: status.RESOURCE_EXHAUSTED,
    message:
      'Your application calls more often than it may. Try again later, with a growing pause.',
    retryAfter: milliseconds,
  }),
  PRIVILEGE_MISSING: ({ privilege }) => ({
    code: status.PERMISSION_DENIED,
    message: `The API key lacks the privilege ${privilege}; use a key that has it.`,
    metadata: { privilege },
  }),
  INVALID_REQUEST: ({ violations }) => {
    const fields = violations.map(({ field, description }) => ({
      field,
      description,
      reason: '',
      localizedMessage: undefined,
    }));
    const told = fitting(fields, fieldBytes, (one) =>
      BadRequest.encode({ fieldViolations: [one] }).finish(),
    );
    const faults = told.map(({ field, description }) => `${field} ${description}`);
    const more = violations.length - told.length;
    return {
      code: status.INVALID_ARGUMENT,
      message: `The request is malformed: ${faults.join('; ')}${more > 0 ? `; and ${more} more` : ''}.`,
      details: [pack('google.rpc.BadRequest', BadRequest, { fieldViolations: told })],
    };
  },
  SHARING_NOT_CONFIGURED: () => ({
    code: status.UNIMPLEMENTED,
    message:
      'This service has no key to sign share tokens with. Have it configured (SHARE_TOKEN_SIGNING_KEY), or have tokens signed elsewhere.',
  }),
  REQUEST_ID_REUSED: () => ({
    code: status.INVALID_ARGUMENT,
    message:
      'The request_id stands for another request, which has made an import. Make up a new one for each import.',
  }),
  KEY_SET_UNAVAILABLE: ({ retryAfter: milliseconds }) => ({
    code: status.UNAVAILABLE,
    message:
      'The share token names a key that is not known, and the keys can not be read at the moment. Try again later, with a growing pause.',
    retryAfter: milliseconds,
  }),
  SHARE_TOKEN_INVALID: ({ why, remedy = 'Ask the source application for a new one.' }) => ({
    code: status.UNAUTHENTICATED,
    message: `The share token is invalid: ${why}. ${remedy}`,
  }),
  SHARE_TOKEN_EXPIRED: ({ expiredAt }) => ({
    code: status.UNAUTHENTICATED,
    message: 'The share token has expired. Ask the source application for a new one.',
    metadata: { expired_at: expiredAt.toISOString() },
  }),
  SHARE_TOKEN_NOT_FOR_APPLICATION: ({ applicationId }) => ({
    code: status.PERMISSION_DENIED,
    message: 'The share token is for another application than the one that calls.',
    metadata: { application_id: applicationId },
  }),
  LINKED_SESSIONS_NOT_SHARED: ({ sourceSessionId }) => ({
    code: status.PERMISSION_DENIED,
    message:
      'The share token is for the business session alone, and not for the sessions of its key people. Ask the source application for one that includes them, or import without include_linked_sessions.',
    metadata: { shared_from_session: sourceSessionId },
  }),
  SESSION_ALREADY_IMPORTED: ({ sessionId, sourceSessionId }) => ({
    code: status.PERMISSION_DENIED,
    message: `The session was imported before, as ${sessionId}. It can be imported once.`,
    metadata: { session_id: sessionId, shared_from_session: sourceSessionId },
  }),
  SHARE_TOKEN_REVOKED: ({ shareTokenId }) => ({
    code: status.PERMISSION_DENIED,
    message:
      'The source application has taken the share token back. Ask it whether it means to share the session.',
    metadata: { share_token_id: shareTokenId },
  }),
  CONNECTION_NOT_ACTIVE: ({ sourceApplicationId, recipientApplicationId }) => ({
    code: status.PERMISSION_DENIED,
    message:
      'The two applications have no active connection in this direction, or its certification is over. Have one of them propose a connection (ProposeConnection) and the other one accept it.',
    metadata: {
      source_application: sourceApplicationId,
      recipient_application: recipientApplicationId,
    },
  }),
  CONNECTION_TERMS_EXCEEDED: ({ connectionId, term }) => ({
    code: status.PERMISSION_DENIED,
    message: `The connection of the two applications does not allow this: see its term ${term} (GetConnection). Ask for less, or agree on new terms.`,
    metadata: { connection_id: connectionId, term },
  }),
  SOURCE_SESSION_NOT_FOUND: ({ kind, sourceSessionId, sourceApplicationId }) => ({
    code: status.NOT_FOUND,
    message: `The source application has no ${kind} session ${sourceSessionId} (any more).`,
    metadata: {
      shared_from_session: sourceSessionId,
      shared_from_application: sourceApplicationId,
      session_kind: kind,
    },
    details: [
      resource(
        `session-import/${kind}-session`,
        sourceSessionId,
        `applications/${sourceApplicationId}`,
      ),
    ],
  }),
  SOURCE_SESSION_WITHDRAWN: ({ sourceSessionId }) => ({
    code: status.PERMISSION_DENIED,
    message:
      'The session was withdrawn, or it is a copy of one that was corrected and its application has not answered that it keeps the copy. Ask the source application.',
    metadata: { shared_from_session: sourceSessionId },
  }),
  SOURCE_SESSION_NOT_FINISHED: ({ sourceSessionId, status: sessionStatus }) => ({
    code: status.FAILED_PRECONDITION,
    message: `The source session is ${sessionStatus}. Only a session that is Approved, Declined, In Review or Kyc Expired can be imported.`,
    metadata: { shared_from_session: sourceSessionId, status: sessionStatus },
  }),
  WORKFLOW_NOT_FOUND: ({ workflowId }) => ({
    code: status.NOT_FOUND,
    message: `Your application has no workflow ${workflowId}.`,
    metadata: { workflow_id: workflowId },
    details: [resource('session-import/workflow', workflowId, '')],
  }),
  WORKFLOW_KIND_MISMATCH: ({ workflowId, workflowKind, sessionKind }) => ({
    code: status.FAILED_PRECONDITION,
    message: `Workflow ${workflowId} is for ${workflowKind} sessions, and this is a ${sessionKind} session. Name a workflow of the session's kind.`,
    metadata: {
      workflow_id: workflowId,
      workflow_kind: workflowKind,
      session_kind: sessionKind,
    },
  }),
  TOO_MANY_LINKED_SESSIONS: ({ sourceSessionId, limit }) => ({
    code: status.FAILED_PRECONDITION,
    message: `The key people of the business session have more than ${limit} sessions. Import it without include_linked_sessions, and then those sessions one by one, with share tokens of their own.`,
    metadata: { shared_from_session: sourceSessionId, limit: String(limit) },
  }),
  ACCEPTANCE_NOT_MET: ({ sourceSessionId, violations, count }) => {
    const all = violations.map(wireViolation);
    const told = fitting(all, violationBytes, (one) =>
      PreconditionFailure.encode({ violations: [one] }).finish(),
    );
    const [first] = all.map(
      ({ type, subject, description }) => `${type}, ${subject}. ${description}`,
    );
    return {
      code: status.FAILED_PRECONDITION,
      message: `A session that would be copied does not meet the rules for acceptance of the request or its workflow. Number of violations: ${count}, named in the details as far as they fit. The first: ${first ?? ''}`,
      metadata: { shared_from_session: sourceSessionId, violations: String(count) },
      details: [pack('google.rpc.PreconditionFailure', PreconditionFailure, { violations: told })],
    };
  },
  SESSION_TOO_LARGE: () => ({
    code: status.FAILED_PRECONDITION,
    message:
      'The session, with the sessions that come along, is larger than the database takes at once. Nothing was written. Have the operator raise the limit (max_binlog_cache_size), or import without include_linked_sessions.',
  }),
  SESSION_NOT_FOUND: ({ sessionId }) => ({
    code: status.NOT_FOUND,
    message: `Your application has no session ${sessionId}.`,
    metadata: { session_id: sessionId },
    details: [resource('session-import/session', sessionId, '')],
  }),
  SESSION_WITHDRAWN: ({ sessionId }) => ({
    code: status.FAILED_PRECONDITION,
    message: `Session ${sessionId} was withdrawn, by your application or by one that it was copied from, so it can not be shared. If its source was only corrected, call AcknowledgeWithdrawal with KEPT once your copy is right.`,
    metadata: { session_id: sessionId },
  }),
  SESSION_NOT_FINISHED: ({ sessionId, status: sessionStatus }) => ({
    code: status.FAILED_PRECONDITION,
    message: `The session is ${sessionStatus}. Only a session that is Approved, Declined, In Review or Kyc Expired can be shared.`,
    metadata: { session_id: sessionId, status: sessionStatus },
  }),
  SESSION_ON_HOLD: ({ sessionId, until }) => ({
    code: status.FAILED_PRECONDITION,
    message: `Session ${sessionId} is on hold${until ? ` until ${until.toISOString()}` : ''}, so it was not erased. If the hold is no longer needed, end it with SetRetention.`,
    metadata: { session_id: sessionId, ...(until ? { until: until.toISOString() } : {}) },
  }),
  RECIPIENT_NOT_FOUND: ({ applicationId }) => ({
    code: status.NOT_FOUND,
    message: `There is no application ${applicationId} to share with.`,
    metadata: { for_application_id: applicationId },
    details: [resource('session-import/application', applicationId, '')],
  }),
  TOO_MANY_SHARE_TOKENS: ({ sessionId, limit }) => ({
    code: status.FAILED_PRECONDITION,
    message: `Session ${sessionId} has ${limit} share tokens that have neither expired nor been revoked, which is the most there may be. Revoke some with RevokeShareToken, or wait until some have expired.`,
    metadata: { session_id: sessionId, limit: String(limit) },
  }),
  SHARE_TOKEN_NOT_FOUND: ({ shareTokenId }) => ({
    code: status.NOT_FOUND,
    message: `Your application has made no share token ${shareTokenId}. Tokens that were signed elsewhere can't be revoked.`,
    metadata: { share_token_id: shareTokenId },
    details: [resource('session-import/share-token', shareTokenId, '')],
  }),
  WITHDRAWAL_NOT_FOUND: ({ sessionId }) => ({
    code: status.NOT_FOUND,
    message: `No withdrawal has reached session ${sessionId} of your application, so there is nothing to answer. ListWithdrawals, with own_side RECIPIENT, shows the copies that one has reached. A correction can be answered once it has a told_at.`,
    metadata: { session_id: sessionId },
    details: [resource('session-import/withdrawal', sessionId, '')],
  }),
  CONNECTION_NOT_FOUND: ({ connectionId }) => ({
    code: status.NOT_FOUND,
    message: `Your application has no connection ${connectionId}. See ListConnections for those that it has.`,
    metadata: { connection_id: connectionId },
    details: [resource('session-import/connection', connectionId, '')],
  }),
  CONNECTION_OWN_PROPOSAL: ({ connectionId }) => ({
    code: status.PERMISSION_DENIED,
    message: 'Your application has made this proposal. The other application has to accept it.',
    metadata: { connection_id: connectionId },
  }),
  CONNECTION_ENDED: ({ connectionId }) => ({
    code: status.FAILED_PRECONDITION,
    message:
      'The proposal can not be accepted any more: it was declined, withdrawn or replaced, or has expired, or the connection has ended. Propose a new one.',
    metadata: { connection_id: connectionId },
  }),
  TOO_MANY_PROPOSALS: ({ limit, otherApplicationId: other }) => ({
    code: status.FAILED_PRECONDITION,
    message:
      other === undefined
        ? `Your application has ${limit} open proposals, which is the most there may be. Withdraw some with EndConnection, or wait until some are accepted or expire.`
        : `Within 24 hours, your application has made ${limit} proposals to application ${other} in this direction, which is the most there may be. Wait until the first of them is 24 hours old.`,
    metadata: { limit: String(limit), ...(other && { other_application_id: other }) },
  }),
  EVENT_CURSOR_EXPIRED: ({ oldestAfter }) => ({
    code: status.OUT_OF_RANGE,
    message: `Events after this cursor have been deleted. Compare your records with the list calls, such as ListImports. Then go on with the oldest that are left: send after = ${oldestAfter}.`,
    metadata: { oldest_after: String(oldestAfter) },
  }),
  EVENT_CURSOR_AHEAD: ({ lastSequence }) => ({
    code: status.OUT_OF_RANGE,
    message: `The newest event has the number ${lastSequence}, so the cursor does not belong to this feed. If the database was restored from a backup, compare what you have by the list calls, and go on with after = ${lastSequence}.`,
    metadata: { last_sequence: String(lastSequence) },
  }),
  TOO_MANY_WATCHES: ({ limit }) => ({
    code: status.RESOURCE_EXHAUSTED,
    message: `Your application has ${limit} open streams of events in this process, and can't have more now. End some, or try again later.`,
    retryAfter: 1_000,
  }),
  OVERLOADED: () => ({
    code: status.RESOURCE_EXHAUSTED,
    message: 'Too much work is queued. Try again later, with a growing pause.',
    retryAfter: 1_000,
  }),
  CONFLICT: () => ({
    code: status.ABORTED,
    message: 'The call kept losing against other transactions. Nothing was written; try again.',
    retryAfter: 500,
  }),
  DATABASE_TOO_SLOW: () => ({
    code: status.DEADLINE_EXCEEDED,
    message:
      'The database took too long to read this, and was told to stop. Ask for less (a smaller page, a shorter time), or try again later.',
  }),
  DATABASE_UNAVAILABLE: () => ({
    code: status.UNAVAILABLE,
    message:
      'The database is out of reach. Try again later, with a growing pause; an import that was done after all will be answered with SESSION_ALREADY_IMPORTED.',
    retryAfter: 1_000,
  }),
  INTERNAL: (_problem, requestId) => ({
    code: status.INTERNAL,
    message: `Something went wrong inside the service. Report request ${requestId}.`,
    metadata: { request_id: requestId },
  }),
};

/** The gRPC status of a problem, with its details in the trailer `grpc-status-details-bin`. */
export function problemStatus(problem: Problem, requestId: string): StatusObject {
  const tell = answers[problem.reason] as (problem: Problem, requestId: string) => Answer;
  const { code, message, metadata = {}, details = [], retryAfter } = tell(problem, requestId);
  const info = { reason: problem.reason, domain: errorDomain, metadata: { ...metadata } };
  const trailer = new Metadata();
  const full = {
    code,
    message,
    details: [
      pack('google.rpc.ErrorInfo', ErrorInfo, info),
      ...details,
      ...(retryAfter === undefined ? [] : [retryInfo(retryAfter)]),
    ],
  };
  trailer.set(detailsKey, Buffer.from(Status.encode(full).finish()));
  if (retryAfter !== undefined) trailer.set(pushbackKey, String(retryAfter));
  return { code, details: message, metadata: trailer };
}

/**
 * How many bytes of violations an answer may have. Many clients accept 8 KiB of metadata: that has to be enough for the
 * violations in base64, the message and the ErrorInfo.
 */
const violationBytes = 4_096;

/** How many bytes the violations of a request may have: the message repeats them, and the details the message. */
const fieldBytes = 1_536;

/** As many of the violations as fit into so many bytes, from the first on: there can be thousands. */
function fitting<Violation>(
  violations: readonly Violation[],
  bytes: number,
  encode: (violation: Violation) => Uint8Array,
): Violation[] {
  const fit: Violation[] = [];
  let room = bytes;
  for (const violation of violations) {
    room -= encode(violation).length;
    if (room < 0) break;
    fit.push(violation);
  }
  return fit;
}

function wireViolation(violation: AcceptanceViolation): PreconditionViolation {
  const { rule, sessionId, relation, ordinal, found, wanted } = violation;
  const subject = ['sessions', sessionId, relation, ordinal].filter((part) => part !== undefined);
  return {
    type: rule,
    subject: subject.join('/'),
    description: `Found: ${found}. Wanted: ${wanted}.`,
  };
}

function resource(resourceType: string, resourceName: string, owner: string): Any {
  const info = { resourceType, resourceName, owner, description: '' };
  return pack('google.rpc.ResourceInfo', ResourceInfo, info);
}

/** Tells when to try again, in milliseconds from now. */
function retryInfo(milliseconds: number): Any {
  const retryDelay = {
    seconds: Math.floor(milliseconds / 1_000),
    nanos: (milliseconds % 1_000) * 1_000_000,
  };
  return pack('google.rpc.RetryInfo', RetryInfo, { retryDelay });
}

function pack<T>(
  name: string,
  type: { encode(message: T): { finish(): Uint8Array } },
  message: T,
): Any {
  return {
    typeUrl: `type.googleapis.com/${name}`,
    value: Buffer.from(type.encode(message).finish()),
  };
}
