import {
  ServerInterceptingCall,
  ServerListenerBuilder,
  status,
  type ServerInterceptor,
  type ServerMethodDefinition,
} from '@grpc/grpc-js';
import type { Metrics, RpcLabels } from '../telemetry/metrics';

/** Counts and times every RPC of every service, also those that end before they reach their handler. */
export function countingRpcs(metrics: Metrics): ServerInterceptor {
  return (method, call) => {
    const labels = labelsOf(method);
    const startedAt = performance.now();
    metrics.rpcBegun(labels);
    let ended = false;
    const end = (code: status): void => {
      if (ended) return;
      ended = true;
      metrics.rpcEnded(labels, code, (performance.now() - startedAt) / 1_000);
    };
    return new ServerInterceptingCall(call, {
      start: (next) => {
        next(
          new ServerListenerBuilder()
            .withOnReceiveMessage((message, proceed) => {
              metrics.messageReceived(labels);
              proceed(message);
            })
            .withOnCancel(() => {
              end(
                Number(call.getDeadline()) <= Date.now()
                  ? status.DEADLINE_EXCEEDED
                  : status.CANCELLED,
              );
            })
            .build(),
        );
      },
      sendMessage: (message, next) => {
        metrics.messageSent(labels);
        next(message);
      },
      sendStatus: (sent, next) => {
        end(sent.code);
        next(sent);
      },
    });
  };
}

/** Ends calls whose request does not come in time: without a deadline, one would stay open for ever. */
export function limitingRequestTime(seconds: number): ServerInterceptor {
  return (method, call) => {
    if (method.requestStream) return new ServerInterceptingCall(call);
    let timer: NodeJS.Timeout | undefined;
    const arrived = (): void => {
      clearTimeout(timer);
    };
    return new ServerInterceptingCall(call, {
      start: (next) => {
        timer = setTimeout(() => {
          call.sendStatus({
            code: status.DEADLINE_EXCEEDED,
            details: `The request did not arrive within ${seconds} s. Nothing was written.`,
          });
        }, seconds * 1_000);
        next(
          new ServerListenerBuilder()
            .withOnReceiveMessage((message, proceed) => {
              arrived();
              proceed(message);
            })
            .withOnCancel(arrived)
            .build(),
        );
      },
      sendStatus: (sent, next) => {
        arrived();
        next(sent);
      },
    });
  };
}

/** Labels by method: the same object for every call. */
const known = new WeakMap<ServerMethodDefinition<unknown, unknown>, RpcLabels>();

function labelsOf(method: ServerMethodDefinition<unknown, unknown>): RpcLabels {
  let labels = known.get(method);
  if (!labels) {
    const [, service = '', name = ''] = method.path.split('/');
    labels = { grpc_type: typeOf(method), grpc_service: service, grpc_method: name };
    known.set(method, labels);
  }
  return labels;
}

function typeOf({
  requestStream,
  responseStream,
}: ServerMethodDefinition<unknown, unknown>): RpcLabels['grpc_type'] {
  if (requestStream) return responseStream ? 'bidi_stream' : 'client_stream';
  return responseStream ? 'server_stream' : 'unary';
}
