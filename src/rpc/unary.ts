import {
  Metadata,
  status,
  type handleUnaryCall,
  type ServerUnaryCall,
  type StatusObject,
} from '@grpc/grpc-js';
import { newId } from '../db/ids';
import { CallAbandoned, toServiceError } from '../errors';
import type { Context } from './context';
import { problemStatus } from './status';

/** One call, as an RPC sees it. */
interface Call<Request> {
  readonly request: Request;
  /** The value of a metadata key; undefined if it is missing or given more than once. */
  readonly metadata: (key: string) => string | undefined;
  /** Fires when the caller has cancelled, or the deadline has passed. */
  readonly signal: AbortSignal;
  /** Adds facts to the call's log line: ids, and never a secret or a personal datum. */
  readonly note: (facts: Readonly<Record<string, string>>) => void;
}

/** The metadata of the answer that names the request, and finds its log line. */
const requestIdKey = 'x-request-id';

/**
 * Makes a gRPC handler of a plain async function: gives the call an id, turns what it throws into a
 * status with details, and writes one log line.
 */
export function unary<Request, Response>(
  method: string,
  { log, running }: Context,
  handle: (call: Call<Request>) => Promise<Response>,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    const startedAt = performance.now();
    const requestId = newId();
    const facts: Record<string, string> = { method, request_id: requestId };
    const finish = (code: status, extra: object): void => {
      answered = true;
      const ms = Math.round((performance.now() - startedAt) * 10) / 10;
      const line = { ...facts, code: status[code], ms, ...extra };
      if (code === status.INTERNAL) log.error(line, 'call failed');
      else log.info(line, 'call');
    };

    const controller = new AbortController();
    let answered = false;
    // Every call ends with this event, also the one that was answered.
    call.on('cancelled', () => {
      if (!answered) controller.abort();
    });
    const work = handle({
      request: call.request,
      metadata: (key) => onlyValue(call.metadata, key),
      signal: controller.signal,
      note: (more) => Object.assign(facts, more),
    }).then(
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

/**
 * The id goes with the answer: in the header of a good one, in the trailer of a failure. A header
 * that is sent earlier commits the call, and no client's retry policy would apply any more (gRFC A6).
 */
function withRequestId(metadata: Metadata, requestId: string): Metadata {
  metadata.set(requestIdKey, requestId);
  return metadata;
}

function onlyValue(metadata: Metadata, key: string): string | undefined {
  const values = metadata.get(key);
  const [value] = values;
  return values.length === 1 && typeof value === 'string' ? value : undefined;
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
