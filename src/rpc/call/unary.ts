import { Metadata, status, type handleUnaryCall, type ServerUnaryCall } from '@grpc/grpc-js';
import { runInSpan } from '../../telemetry/spans';
import type { Privilege } from '../../model/privileges';
import type { CallContext, Context, HandlerContext } from '../context';
import type { Caller } from './callers';
import { Gate } from './gate';
import type { LineName } from './lines';
import { credentialsOf, RunningCall } from './running-call';

/** Does the work of a call whose caller is known, has the privilege, and is within its rate limit. */
type Handler<Request, Response> = (
  request: Request,
  caller: Caller,
  context: HandlerContext,
) => Promise<Response>;

/** Does all the work of a call, and calls the gate itself. */
type Attempt<Request, Response> = (
  request: Request,
  gate: Gate,
  context: CallContext,
) => Promise<Response>;

/** How a method that answers once is carried out. */
export type UnaryMethod<Request, Response> =
  | {
      /** The line in which its work on the database waits. */
      readonly line: LineName;
      readonly handler: Handler<Request, Response>;
    }
  /** For a method that must also know about calls that the gate refuses. */
  | { readonly attempt: Attempt<Request, Response> };

/**
 * Makes a gRPC handler of a method: gives each call an id and a span, lets its caller through the gate,
 * turns what is thrown into a status with details, and writes one log line.
 *
 * @param path `/sessionimport.v1.SessionImport/ImportSession`, for example.
 */
export function unary<Request, Response>(
  path: string,
  method: UnaryMethod<Request, Response> & { readonly privilege: Privilege },
  context: Context,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    const running = new RunningCall(path, call, context);
    const gate = new Gate(running.context, credentialsOf(call), method.privilege);
    const work = runInSpan(running.span, () => perform(method, call, gate, running)).then(
      (response) => {
        running.end(status.OK);
        call.sendMetadata(running.identified(new Metadata()));
        callback(null, response);
      },
      (error: unknown) => {
        callback(running.fail(error));
      },
    );
    context.running.add(work);
  };
}

async function perform<Request, Response>(
  method: UnaryMethod<Request, Response>,
  call: ServerUnaryCall<Request, Response>,
  gate: Gate,
  running: RunningCall,
): Promise<Response> {
  const { request } = call;
  const { context } = running;
  if ('attempt' in method) return method.attempt(request, gate, context);
  const caller = await gate.authenticate();
  gate.authorize(caller);
  const { applicationId } = caller;
  const { lines, openReads, signal } = context;
  const handle = (): Promise<Response> =>
    method.handler(request, caller, {
      ...context,
      onDatabase: (work) => lines[method.line].run(applicationId, signal, work),
    });
  if (method.line !== 'reads') return handle();
  return openReads.run({ applicationId, peer: call.getPeer() }, signal, running.over, handle);
}
