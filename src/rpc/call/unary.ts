import {
  Metadata,
  status,
  type handleUnaryCall,
  type ServerUnaryCall,
  type StatusObject,
} from '@grpc/grpc-js';
import type { Credentials } from './callers';
import { peerNames } from './peer-names';
import { newId } from '../../model/ids';
import { CallAbandoned, toServiceError } from '../../model/problems';
import { markFailed, startCallSpan, traceIdOf, within } from '../../telemetry/spans';
import type { Context } from '../context';
import { problemStatus } from './status';

/** What a log line says of a call: ids and figures, and never a secret or a personal datum. */
type Facts = Record<string, string | number | boolean>;

/** One call, as an RPC sees it. */
export interface Call<Request> {
  readonly request: Request;
  readonly credentials: Credentials;
  /** Fires when the caller has cancelled, or the deadline has passed. */
  readonly signal: AbortSignal;
  /** Adds facts to the call's log line. */
  readonly note: (facts: Readonly<Facts>) => void;
}

/** A method of a generated service. */
interface Method {
  /** `/sessionimport.v1.SessionImport/ImportSession`, for example. */
  readonly path: string;
}

/** How a call ended: `OK`, a reason of the error table, or a code of gRPC if there is none. */
type Ended = (result: string) => void;

/** Does the work of a call. It may set how it wants to be told of the end, whatever that is. */
export type Handler<Request, Response> = (
  call: Call<Request>,
  onEnd: (ended: Ended) => void,
) => Promise<Response>;

/** The metadata of the answer that names the request, and finds its log line. */
const requestIdKey = 'x-request-id';

/**
 * Makes a gRPC handler of a plain async function: gives the call an id and a span, turns what it
 * throws into a status with details, and writes one log line.
 */
export function unary<Request, Response>(
  { path }: Method,
  { log, running }: Context,
  handle: Handler<Request, Response>,
): handleUnaryCall<Request, Response> {
  const [, service = '', method = ''] = path.split('/');
  return (call, callback) => {
    const startedAt = performance.now();
    const requestId = newId();
    const span = startCallSpan(service, method, call.metadata);
    const facts: Facts = { method, request_id: requestId };
    const traceId = traceIdOf(span);
    if (traceId !== undefined) facts['trace_id'] = traceId;
    let ended: Ended | undefined;

    const finish = (code: status, extra: { readonly reason?: string; readonly err?: unknown }) => {
      answered = true;
      const result = extra.reason ?? status[code];
      const line = {
        ...facts,
        code: status[code],
        ...extra,
        ms: tenths(performance.now() - startedAt),
      };
      if (code === status.INTERNAL) log.error(line, 'call failed');
      else log.info(line, 'call');
      span.setAttribute('rpc.grpc.status_code', code);
      if (code === status.INTERNAL || code === status.UNAVAILABLE) markFailed(span, result);
      span.end();
      ended?.(result);
    };

    const controller = new AbortController();
    let answered = false;
    // Every call ends with this event, also the one that was answered.
    call.on('cancelled', () => {
      if (!answered) controller.abort();
    });
    const asked: Call<Request> = {
      request: call.request,
      credentials: credentialsOf(call),
      signal: controller.signal,
      note: (more) => Object.assign(facts, more),
    };
    const onEnd = (end: Ended): void => {
      ended = end;
    };
    const work = within(span, () => handle(asked, onEnd)).then(
      (response) => {
        finish(status.OK, {});
        call.sendMetadata(withRequestId(new Metadata(), requestId));
        callback(null, response);
      },
      (error: unknown) => {
        if (error instanceof CallAbandoned) {
          const abandoned = abandonedStatus(call);
          finish(abandoned.code, {});
          callback({ ...abandoned, metadata: withRequestId(new Metadata(), requestId) });
          return;
        }
        const { problem, cause } = toServiceError(error);
        const answer = problemStatus(problem, requestId);
        finish(answer.code, {
          reason: problem.reason,
          ...(cause === undefined ? {} : { err: cause }),
        });
        callback({ ...answer, metadata: withRequestId(answer.metadata, requestId) });
      },
    );
    running.add(work);
  };
}

/** Milliseconds to one digit: more would say nothing. */
export function tenths(milliseconds: number): number {
  return Math.round(milliseconds * 10) / 10;
}

/**
 * The id goes with the answer: in the header of a good one, in the trailer of a failure. A header
 * that is sent earlier commits the call, and no client's retry policy would apply any more (gRFC A6).
 */
function withRequestId(metadata: Metadata, requestId: string): Metadata {
  metadata.set(requestIdKey, requestId);
  return metadata;
}

function credentialsOf(call: ServerUnaryCall<unknown, unknown>): Credentials {
  return {
    apiKey: onlyValue(call.metadata, 'x-api-key'),
    applicationId: onlyValue(call.metadata, 'x-application-id'),
    peerNames: () => peerNames(call.getAuthContext().sslPeerCertificate),
  };
}

/** The value of a metadata key; empty, which nothing is called, if it is given more than once. */
function onlyValue(metadata: Metadata, key: string): string | undefined {
  const values = metadata.get(key);
  if (values.length === 0) return undefined;
  const [value] = values;
  return values.length === 1 && typeof value === 'string' ? value : '';
}

function abandonedStatus(
  call: ServerUnaryCall<unknown, unknown>,
): Pick<StatusObject, 'code' | 'details'> {
  const late = Number(call.getDeadline()) <= Date.now();
  return {
    code: late ? status.DEADLINE_EXCEEDED : status.CANCELLED,
    details: 'The call ended before its import began. Nothing was written.',
  };
}
