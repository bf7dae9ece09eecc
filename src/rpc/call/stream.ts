import {
  Metadata,
  status,
  type handleServerStreamingCall,
  type ServerWritableStream,
} from '@grpc/grpc-js';
import type { Privilege } from '../../model/privileges';
import { CallAbandoned } from '../../model/problems';
import { runInSpan } from '../../telemetry/spans';
import type { Context, HandlerContext } from '../context';
import type { Caller } from './callers';
import { Gate } from './gate';
import type { LineName } from './lines';
import { credentialsOf, RunningCall } from './running-call';

/** What the handler of a stream needs, besides what every handler needs. */
export interface StreamContext<Response> extends HandlerContext {
  /** Tells the caller that the call was accepted, which it would only see from the first message otherwise. Called once. */
  readonly accept: () => void;
  /**
   * Sends a message. It waits until the receiver has taken most of what was sent before, so a receiver that is slow
   * costs a few messages of memory.
   *
   * @param signal ends the waiting; it has to fire when the call ends.
   * @throws CallAbandoned if the signal has fired.
   */
  readonly send: (message: Response, signal: AbortSignal) => Promise<void>;
  /** Requires that the caller may still make the call, as when it began. It does not count as another call. */
  readonly checkAgain: () => Promise<void>;
}

/** Answers a call with a stream. The stream ends with OK when the promise resolves. */
type StreamHandler<Request, Response> = (
  request: Request,
  caller: Caller,
  context: StreamContext<Response>,
) => Promise<void>;

/** How a method that answers with a stream is carried out. */
export interface StreamMethod<Request, Response> {
  /** The line in which its reads of the database wait. */
  readonly line: LineName;
  readonly stream: StreamHandler<Request, Response>;
}

/** Makes a gRPC handler of a method that answers with a stream, as `unary` does for the others. */
export function stream<Request, Response>(
  path: string,
  method: StreamMethod<Request, Response> & { readonly privilege: Privilege },
  context: Context,
): handleServerStreamingCall<Request, Response> {
  return (call) => {
    const running = new RunningCall(path, call, context);
    const gate = new Gate(running.context, credentialsOf(call), method.privilege);
    const work = runInSpan(running.span, () => perform(method, call, gate, running)).then(
      () => {
        running.end(status.OK);
        call.end(running.identified(new Metadata()));
      },
      (error: unknown) => {
        call.emit('error', running.fail(error));
      },
    );
    context.running.add(work);
  };
}

async function perform<Request, Response>(
  method: StreamMethod<Request, Response>,
  call: ServerWritableStream<Request, Response>,
  gate: Gate,
  running: RunningCall,
): Promise<void> {
  const { context } = running;
  const caller = await gate.authenticate();
  gate.authorize(caller);
  const { lines, signal } = context;
  return method.stream(call.request, caller, {
    ...context,
    onDatabase: (work) => lines[method.line].run(caller.applicationId, signal, work),
    accept: () => {
      call.sendMetadata(running.identified(new Metadata()));
    },
    send: (message, until) => send(call, message, until),
    checkAgain: () => gate.checkAgain(caller),
  });
}

function send<Request, Response>(
  call: ServerWritableStream<Request, Response>,
  message: Response,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(new CallAbandoned());
      return;
    }
    if (call.write(message)) {
      resolve();
      return;
    }
    const end = (): void => {
      call.off('drain', drained);
      reject(new CallAbandoned());
    };
    const drained = (): void => {
      signal.removeEventListener('abort', end);
      resolve();
    };
    call.once('drain', drained);
    signal.addEventListener('abort', end, { once: true });
  });
}
