import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { setImmediate as turn } from 'node:timers/promises';
import { Admission, type Crowd } from '../../turns/admission';
import type { KnownPeers } from '../call/known-peers';
import type { RunningCalls } from '../call/running-calls';
import { dropBinaryMetadata } from './binary-metadata';
import type { Connection } from './connection';
import { excessOf } from './give-way';
import { timeoutLeft } from './timeouts';

/** The most calls that wait to begin. Each takes some six kilobytes. */
const mostWaiting = 8_000;

/** If more calls of known peers than this wait, it is a flood. */
const floodLength = 256;

/** How many calls begin in one turn of the event loop, at most: of known peers, and of strangers. */
const mostPerTurn = 6;

/**
 * How many calls of known peers begin in one turn of the event loop. In a flood of few connections, only one does. That
 * leaves more time for calls that have begun. If fewer wait, it would cost too much: with 256 callers, an import then cost
 * the service up to 28 % more. If more connections have them, each would wait for many turns.
 */
export function ofKnownPerTurn({ length, owners }: Crowd): number {
  return length > floodLength && owners <= mostPerTurn ? 1 : mostPerTurn;
}

/** For so many addresses of strangers that wait, one more call begins in each turn. */
const addressesPerCall = 8;

/**
 * How many calls of strangers begin in one turn of the event loop. If few addresses have all of them, one is enough. An import
 * takes many turns, so these have to be short. But no address is to wait for hundreds of turns: it may be that of a probe.
 */
export function ofStrangersPerTurn({ groups }: Crowd): number {
  return Math.min(mostPerTurn, Math.max(1, Math.ceil(groups / addressesPerCall)));
}

/**
 * Lets calls begin in turns, by address and then by connection, before gRPC has done anything for them. Known peers and
 * strangers wait in two queues, so that known peers do not wait for strangers. Only a few calls begin in each turn of the
 * event loop, whether they will be answered, refused, unknown, malformed or late. While a call waits, it takes some
 * kilobytes of memory, and nothing else.
 *
 * A call that its client cancels leaves the queue. One whose deadline passes is answered in its turn. If too many
 * wait, a connection is cut off: see {@link excessOf}. To refuse calls would not be enough: their peer would send others
 * at once.
 */
export class Arrivals {
  private readonly ofKnown = new Admission<string, Connection>(ofKnownPerTurn);
  private readonly ofStrangers = new Admission<string, Connection>(ofStrangersPerTurn);

  /**
   * @param running has the calls that have begun.
   * @param known has the peers that are no strangers.
   */
  constructor(
    private readonly running: RunningCalls,
    private readonly known: KnownPeers,
  ) {}

  /** How many calls wait. */
  get waiting(): number {
    return this.ofKnown.waiting + this.ofStrangers.waiting;
  }

  /**
   * Takes a call that has arrived.
   *
   * @param headers its metadata. Its `grpc-timeout` becomes what is left of it when the call begins.
   * @param begin hands it over to gRPC.
   */
  take(
    connection: Connection,
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    begin: () => void,
  ): void {
    const call = connection.callArrived(stream, headers);
    if (!call) return;
    const admission = this.known.has(connection.peer) ? this.ofKnown : this.ofStrangers;
    const place = { group: connection.address, owner: connection };
    const start = (): void => {
      call.leaveQueue = undefined;
      if (stream.closed) {
        // Node.js waits until somebody has read it.
        call.letEnd();
        stream.resume();
        return;
      }
      dropBinaryMetadata(headers);
      const timeout = headers['grpc-timeout'];
      if (typeof timeout === 'string') {
        headers['grpc-timeout'] = timeoutLeft(timeout, performance.now() - call.openedAt);
      }
      // If the answer is sent before the request was read, nobody reads the rest. Node.js then still counts the stream
      // as open, but the client does not: if it is at its limit, its next call would be reset. So the rest is read and
      // dropped.
      stream.once('finish', () => {
        stream.resume();
      });
      begin();
      call.letEnd();
    };
    if (!admission.enter(place, start)) return;
    call.leaveQueue = () => {
      admission.leave(place, start);
    };
    if (this.waiting > mostWaiting) this.cutExcess();
  }

  /** Cuts a connection off if too many calls wait. To be called several times a second. */
  cutExcess(): void {
    const excess = excessOf(this.lengths(), mostWaiting, this.known);
    excess?.connection.cut('waiting_calls', excess);
  }

  private *lengths(): IterableIterator<readonly [Connection, number]> {
    yield* this.ofKnown.lengths();
    yield* this.ofStrangers.lengths();
  }

  /** Resolves when no call waits and none runs: a stop does not cut off calls that were accepted. */
  async ended(): Promise<void> {
    await this.running.ended();
    while (this.waiting > 0) {
      await turn();
      await this.running.ended();
    }
  }
}
