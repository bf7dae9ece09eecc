import {
  ServerInterceptingCall,
  ServerListenerBuilder,
  status,
  type Metadata,
  type ServerInterceptor,
  type ServerMethodDefinition,
} from '@grpc/grpc-js';
import type { RunningCalls } from '../call/running-calls';
import type { RpcLabels, RpcObserver } from './observer';
import { blamingPeer } from './peer-faults';
import { withPushback } from './pushback';

/**
 * Corrects the status of RPCs, and tells an observer of every RPC of every service, also of those that end before they
 * reach their handler. Not of calls of unknown methods, and of those that end while they wait to begin: no interceptor
 * sees them. It must be the first interceptor, because only that one gets the call of grpc-js itself.
 */
export function observingRpcs(observer: RpcObserver): ServerInterceptor {
  return (method, call) => {
    const labels = labelsOf(method);
    const startedAt = performance.now();
    observer.rpcBegun(labels);
    let received: Metadata | undefined;
    let ended = false;
    const end = (code: status): void => {
      if (ended) return;
      ended = true;
      observer.rpcEnded(labels, code, (performance.now() - startedAt) / 1_000);
    };
    // Here, and not in the interceptor below: statuses that grpc-js sends by itself (a request that is
    // too large, or can't be read, or is late) come to no interceptor.
    const send = call.sendStatus.bind(call);
    call.sendStatus = (sent) => {
      const told = withPushback(blamingPeer(sent), {
        deadline: call.getDeadline(),
        metadata: received,
      });
      end(told.code);
      send(told);
    };
    return new ServerInterceptingCall(call, {
      start: (next) => {
        next(
          new ServerListenerBuilder()
            .withOnReceiveMetadata((metadata, proceed) => {
              received = metadata;
              proceed(metadata);
            })
            .withOnReceiveMessage((message, proceed) => {
              observer.messageReceived(labels);
              proceed(message);
            })
            .withOnCancel(() => {
              end(status.CANCELLED);
            })
            .build(),
        );
      },
      sendMessage: (message, next) => {
        // It has waited behind others. If grpc-js wrote it behind the end, the stream would never end.
        if (ended) return;
        observer.messageSent(labels);
        next(message);
      },
    });
  };
}

/** For a call that waited for its turn until its deadline had passed. */
const lateStatus = {
  code: status.DEADLINE_EXCEEDED,
  details: 'The deadline passed before the call began. Nothing was written.',
};

/**
 * Ends calls whose deadline has passed before their turn. It must be the last interceptor: its `start` runs first, so a
 * late call takes no place in the limit of streams.
 */
export const refusingLate: ServerInterceptor = (_method, call) =>
  new ServerInterceptingCall(call, {
    start: (next) => {
      if (Number(call.getDeadline()) <= Date.now()) call.sendStatus(lateStatus);
      else next();
    },
  });

/**
 * Ends calls whose request does not come in time: without a deadline, such a call would stay open for ever. Until its
 * request has come, a call counts as running, so that a stop does not cut it off.
 */
export function limitingRequestTime(seconds: number, running: RunningCalls): ServerInterceptor {
  return (method, call) => {
    if (method.requestStream) return new ServerInterceptingCall(call);
    let timer: NodeJS.Timeout | undefined;
    let arrived = (): void => undefined;
    return new ServerInterceptingCall(call, {
      start: (next) => {
        running.add(
          new Promise((resolve) => {
            arrived = () => {
              clearTimeout(timer);
              resolve();
            };
          }),
        );
        timer = setTimeout(() => {
          // Nobody tells of the end of a call whose connection is gone.
          arrived();
          call.sendStatus({
            code: status.DEADLINE_EXCEEDED,
            details: `The request did not arrive within ${seconds} s. Nothing was written.`,
          });
        }, seconds * 1_000);
        next(
          new ServerListenerBuilder()
            .withOnReceiveHalfClose((proceed) => {
              // First, so that the handler counts the call before it is no longer counted here.
              proceed();
              arrived();
            })
            .withOnCancel(() => {
              arrived();
            })
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

/** Labels by path: there are as many as the server has methods. */
const known = new Map<string, RpcLabels>();

function labelsOf(method: ServerMethodDefinition<unknown, unknown>): RpcLabels {
  let labels = known.get(method.path);
  if (!labels) {
    const [, service = '', name = ''] = method.path.split('/');
    labels = { grpc_type: typeOf(method), grpc_service: service, grpc_method: name };
    known.set(method.path, labels);
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
