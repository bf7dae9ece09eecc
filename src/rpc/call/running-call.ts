import { randomUUID } from 'node:crypto';
import { Metadata, status, type ServerUnaryCall, type StatusObject } from '@grpc/grpc-js';
import type { Span } from '@opentelemetry/api';
import { toServiceError } from '../../db/errors';
import { CallAbandoned } from '../../model/problems';
import { markFailed, startCallSpan, traceIdOf } from '../../telemetry/spans';
import type { CallContext, Context, LogFields } from '../context';
import type { Credentials } from './callers';
import { peerNames } from './peer-names';
import { problemStatus } from './status';

/** What a call has, whether it answers once or with a stream. */
export type AnyCall = Omit<ServerUnaryCall<unknown, unknown>, 'request' | 'sendMetadata'>;

/** The metadata key of the request's id. The id finds the call's log line. */
const requestIdKey = 'x-request-id';

/** One call, from its turn to its log line. */
export class RunningCall {
  readonly span: Span;
  readonly context: CallContext;
  /** Resolves when the peer has taken the answer, or the call has ended without one. */
  readonly over: Promise<void>;
  // No row has it as a key, so it need not grow with time: a random one costs a tenth.
  private readonly requestId = randomUUID();
  private readonly startedAt = performance.now();
  private readonly controller = new AbortController();
  private fields: LogFields;
  private ended = false;

  constructor(
    path: string,
    private readonly call: AnyCall,
    context: Context,
  ) {
    const [, service = '', method = ''] = path.split('/');
    this.span = startCallSpan(service, method, call.metadata);
    const traceId = traceIdOf(this.span);
    this.fields = {
      method,
      request_id: this.requestId,
      ...(traceId === undefined ? {} : { trace_id: traceId }),
    };
    // grpc-js emits this event at the end of every call, also of a call that was answered: when HTTP/2 has taken all of
    // the answer, which it does as the peer's windows allow.
    this.over = new Promise((resolve) => {
      call.on('cancelled', () => {
        if (!this.ended) this.controller.abort();
        resolve();
      });
    });
    this.context = {
      ...context,
      signal: this.controller.signal,
      annotate: (fields) => {
        this.fields = { ...this.fields, ...fields };
      },
      resultOf: (error) => this.resultOf(error),
    };
  }

  /**
   * Ends the call: with its log line, and its span.
   *
   * @param reason of the error table; undefined: there is none.
   * @param cause what was wrong inside the service, if anything was.
   */
  end(code: status, reason?: string, cause?: unknown): void {
    this.ended = true;
    const line = {
      ...this.fields,
      code: status[code],
      ...(reason === undefined ? {} : { reason }),
      ...(cause === undefined ? {} : { err: cause }),
      ms: tenths(performance.now() - this.startedAt),
    };
    if (code === status.INTERNAL) this.context.log.error(line, 'call failed');
    else this.context.log.info(line, 'call');
    this.span.setAttribute('rpc.grpc.status_code', code);
    if (code === status.INTERNAL || code === status.UNAVAILABLE) {
      markFailed(this.span, reason ?? status[code]);
    }
    this.span.end();
  }

  /** Ends the call with what its work has thrown. @returns what the caller is told. */
  fail(error: unknown): Pick<StatusObject, 'code' | 'details' | 'metadata'> {
    if (error instanceof CallAbandoned) {
      const code = this.abandonedCode();
      this.end(code);
      const details = 'The call ended before its work began. Nothing was written.';
      return { code, details, metadata: this.identified(new Metadata()) };
    }
    const { problem, cause } = toServiceError(error);
    const answer = problemStatus(problem, this.requestId);
    this.end(answer.code, problem.reason, cause);
    return { ...answer, metadata: this.identified(answer.metadata) };
  }

  /**
   * Adds the request's id to the metadata of the answer: to the header on success, to the trailer
   * on failure. A header that is sent earlier would commit the call, and the client's retry policy
   * would no longer apply (gRFC A6).
   */
  identified(metadata: Metadata): Metadata {
    metadata.set(requestIdKey, this.requestId);
    return metadata;
  }

  private resultOf(error: unknown): string {
    if (error instanceof CallAbandoned) return status[this.abandonedCode()];
    return toServiceError(error).problem.reason;
  }

  private abandonedCode(): status {
    const late = Number(this.call.getDeadline()) <= Date.now();
    return late ? status.DEADLINE_EXCEEDED : status.CANCELLED;
  }
}

/** Rounds milliseconds to one decimal. */
export function tenths(milliseconds: number): number {
  return Math.round(milliseconds * 10) / 10;
}

/** The metadata keys that hold the credentials of a call. */
const credentialKeys = ['x-api-key', 'x-application-id'] as const;
type CredentialKey = (typeof credentialKeys)[number];

/** The credentials that a call came with. */
export function credentialsOf(call: AnyCall): Credentials {
  return {
    apiKey: valueOf(call.metadata, 'x-api-key'),
    applicationId: valueOf(call.metadata, 'x-application-id'),
    repeated: credentialKeys.some((key) => isRepeated(call.metadata, key)),
    peerNames: () => peerNames(call.getAuthContext().sslPeerCertificate),
    peer: call.getPeer(),
  };
}

/** The value of a metadata key. If there are several, they are all in one text, with commas between. */
function valueOf(metadata: Metadata, key: CredentialKey): string | undefined {
  return metadata.get(key)[0]?.toString();
}

/** HTTP joins several values of a key with commas (RFC 9110, section 5.3), and no credential has a comma. */
function isRepeated(metadata: Metadata, key: CredentialKey): boolean {
  return valueOf(metadata, key)?.includes(',') ?? false;
}
