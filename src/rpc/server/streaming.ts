import {
  ServerInterceptingCall,
  ServerListenerBuilder,
  status,
  type ServerInterceptor,
} from '@grpc/grpc-js';
import { Admission } from '../../turns/admission';
import { networkOf } from './networks';

/**
 * The most open streams of reflection and Watch. A client needs few: it watches one health name or a few. Reflection is
 * for people, and its answers are large: its streams count by address.
 */
const maxStreams = { perOwner: 16, inAll: 1_000 };

/** The most requests on one stream. grpcurl asks reflection some ten times. */
const maxRequests = 64;

/**
 * How long a call with a stream of requests may take, in milliseconds. One with a single request (Watch)
 * lasts as long as its connection.
 */
const maxTime = 60_000;

/**
 * Limits calls that answer with a stream: reflection and the health service's Watch. grpc-js does not: it answers every
 * request, even if nobody takes the answers, and waits for the next one for ever.
 *
 * Their requests are answered in turns. An answer of reflection can have all files of the contract, and a peer can send
 * all of its requests together.
 */
export function limitingStreams(): ServerInterceptor {
  const open = new Map<string, number>();
  let all = 0;
  const admission = new Admission<string, string>();
  return (method, call) => {
    const { remoteAddress, remotePort } = call.getConnectionInfo();
    const connection = `${remoteAddress} ${remotePort}`;
    const network = remoteAddress === undefined ? '' : networkOf(remoteAddress);
    const place = { group: network, owner: connection };
    const owner = method.requestStream ? network : connection;
    const refuse = (code: status, details: string): void => {
      call.sendStatus({ code, details });
    };
    return new ServerInterceptingCall(call, {
      start: (next) => {
        const ofOwner = open.get(owner) ?? 0;
        if (ofOwner >= maxStreams.perOwner || all >= maxStreams.inAll) {
          refuse(status.RESOURCE_EXHAUSTED, 'Too many streams are open. End some first.');
          return;
        }
        all += 1;
        open.set(owner, ofOwner + 1);
        const timer = method.requestStream
          ? setTimeout(() => {
              const details = `A stream may take ${maxTime / 1_000} s. Open another.`;
              refuse(status.DEADLINE_EXCEEDED, details);
            }, maxTime)
          : undefined;
        let requests = 0;
        next(
          new ServerListenerBuilder()
            .withOnReceiveMessage((message, proceed) => {
              requests += 1;
              if (requests <= maxRequests) {
                admission.enter(place, () => {
                  proceed(message);
                });
              } else {
                const details = `A stream takes ${maxRequests} requests. Open another.`;
                refuse(status.RESOURCE_EXHAUSTED, details);
              }
            })
            // grpc-js calls this at the end of every call, also of one that was answered.
            .withOnCancel(() => {
              clearTimeout(timer);
              all -= 1;
              const left = (open.get(owner) ?? 1) - 1;
              if (left === 0) open.delete(owner);
              else open.set(owner, left);
            })
            .build(),
        );
      },
    });
  };
}
