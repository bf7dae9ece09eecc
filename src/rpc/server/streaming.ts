import {
  ServerInterceptingCall,
  ServerListenerBuilder,
  status,
  type ServerInterceptor,
} from '@grpc/grpc-js';
import { Admission } from '../../turns/admission';
import { FairLine, makeRoom } from '../../turns/fair-line';
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

/** How many of their requests are answered in one turn of the event loop. */
const requestsPerTurn = (): number => 1;

/** An open stream. */
interface OpenStream {
  readonly network: string;
  /** What the limit of open streams counts by: the network for reflection, the connection for Watch. */
  readonly owner: string;
  /** Whether it has no limit of time (Watch). */
  readonly lasts: boolean;
  readonly end: (code: status, details: string) => void;
}

/**
 * Limits the streams of reflection and of the health service's Watch. grpc-js does not: it answers every
 * request, even if nobody takes the answers, and waits for the next one for ever.
 *
 * Their requests are answered in turns. An answer of reflection can have all files of the contract, and a peer can send
 * all of its requests together.
 */
export class OpenStreams {
  /** The open streams of each network. */
  private readonly open = new FairLine<string, OpenStream>();
  private readonly admission = new Admission<string, string>(requestsPerTurn);
  private stopping = false;

  /** Ends the streams that would last as long as their connections, now and from now on, because the service stops. */
  stop(): void {
    this.stopping = true;
    const streams = [...this.open.lengths()].flatMap(([network]) => this.open.itemsOf(network));
    for (const stream of streams) if (stream.lasts) refuseAtStop(stream);
  }

  /** Limits a stream of reflection or Watch. Streams of the contract (WatchEvents) have limits of their own. */
  readonly limit: ServerInterceptor = (method, call) => {
    const { remoteAddress, remotePort } = call.getConnectionInfo();
    const connection = `${remoteAddress} ${remotePort}`;
    const network = remoteAddress === undefined ? '' : networkOf(remoteAddress);
    const place = { group: network, owner: connection };
    const stream: OpenStream = {
      network,
      owner: method.requestStream ? network : connection,
      lasts: !method.requestStream,
      end: (code, details) => {
        this.open.remove(network, stream);
        call.sendStatus({ code, details });
      },
    };
    return new ServerInterceptingCall(call, {
      start: (next) => {
        if (!this.admits(stream)) return;
        const timer = stream.lasts
          ? undefined
          : setTimeout(() => {
              const details = `A stream may take ${maxTime / 1_000} s. Open another.`;
              stream.end(status.DEADLINE_EXCEEDED, details);
            }, maxTime);
        let requests = 0;
        next(
          new ServerListenerBuilder()
            .withOnReceiveMessage((message, proceed) => {
              requests += 1;
              if (requests <= maxRequests) {
                this.admission.enter(place, () => {
                  proceed(message);
                });
              } else {
                const details = `A stream takes ${maxRequests} requests. Open another.`;
                stream.end(status.RESOURCE_EXHAUSTED, details);
              }
            })
            // grpc-js calls this at the end of every call, also of one that was answered.
            .withOnCancel(() => {
              clearTimeout(timer);
              this.open.remove(network, stream);
            })
            .build(),
        );
      },
    });
  };

  /** Counts a stream as open if there is room for it, and ends it otherwise. */
  private admits(stream: OpenStream): boolean {
    const { network, owner, lasts } = stream;
    if (lasts && this.stopping) {
      refuseAtStop(stream);
      return false;
    }
    const ofOwner = this.open.itemsOf(network).filter((other) => other.owner === owner);
    const hasRoom =
      ofOwner.length < maxStreams.perOwner &&
      makeRoom([this.open], maxStreams.inAll, network, refuseForOthers);
    if (hasRoom) this.open.append(network, stream);
    else refuseForOthers(stream);
    return hasRoom;
  }
}

function refuseAtStop({ end }: OpenStream): void {
  end(status.UNAVAILABLE, 'The service is stopping. Open another stream.');
}

function refuseForOthers({ end }: OpenStream): void {
  end(status.RESOURCE_EXHAUSTED, 'Too many streams are open. End some first.');
}
