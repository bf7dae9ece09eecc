import { type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { setImmediate as turn } from 'node:timers/promises';
import { Admission } from '../../turns/admission';
import type { RunningCalls } from '../call/running-calls';
import type { Connection } from './connection';
import type { PeerObserver } from './observer';
import { timeoutLeft } from './timeouts';

/** The most calls that wait to begin. Each takes some ten kilobytes. */
const mostWaiting = 4_000;

/**
 * Lets calls begin in turns, by address and then by connection, before gRPC has done anything for them. So what a flood
 * of calls costs in a turn of the event loop is bounded, however the calls would end: answered, refused, unknown,
 * malformed or late.
 *
 * A call that ends before its turn takes none. If too many wait, one of the address with the most is refused with
 * REFUSED_STREAM: nothing was done for it, and it may be repeated (RFC 9113, section 8.7).
 */
export class Arrivals {
  private readonly admission = new Admission<string, Connection>(mostWaiting);

  /**
   * @param running has the calls that have begun.
   * @param observer undefined: nobody is told of refused calls.
   */
  constructor(
    private readonly running: RunningCalls,
    private readonly observer: PeerObserver | undefined,
  ) {}

  /** How many calls wait. */
  get waiting(): number {
    return this.admission.waiting;
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
    const arrivedAt = performance.now();
    const place = { group: connection.address, owner: connection };
    const item = {
      begin: () => {
        call.leaveQueue = undefined;
        if (stream.closed) return;
        const timeout = headers['grpc-timeout'];
        if (typeof timeout === 'string') {
          headers['grpc-timeout'] = timeoutLeft(timeout, performance.now() - arrivedAt);
        }
        begin();
        connection.callBegun(call);
      },
      refuse: () => {
        call.leaveQueue = undefined;
        this.observer?.callRefused();
        connection.refuse(call);
      },
    };
    if (this.admission.enter(place, item) !== 'waits') return;
    call.leaveQueue = () => {
      this.admission.leave(place, item);
    };
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
