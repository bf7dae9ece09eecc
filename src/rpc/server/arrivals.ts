import { type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { setImmediate as turn } from 'node:timers/promises';
import { Admission } from '../../turns/admission';
import type { RunningCalls } from '../call/running-calls';
import type { Connection } from './connection';
import type { PeerObserver } from './observer';

/** The most calls that wait to begin. Each takes some ten kilobytes. */
const mostWaiting = 4_000;

/** The milliseconds of the units of `grpc-timeout` (gRPC over HTTP/2, Requests). */
const unitsInMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** A wait that is a smaller part of the timeout than this is not taken off it. */
const negligible = 1 / 100;

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
   * @param headers its metadata. The time that it has waited is taken off its `grpc-timeout`.
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
        shortenTimeout(headers, performance.now() - arrivedAt);
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

/** Takes the time that a call has waited off its timeout, which counts from when it was sent. */
function shortenTimeout(headers: IncomingHttpHeaders, waitedMs: number): void {
  const timeout = headers['grpc-timeout'];
  // Anything else is for gRPC to refuse.
  if (typeof timeout !== 'string' || waitedMs < 1) return;
  const [, count, unit] = /^(\d{1,8})([HMSmun])$/.exec(timeout) ?? [];
  if (count === undefined || unit === undefined) return;
  const given = Number(count) * (unitsInMs[unit] ?? 0);
  // Node.js has a list of timers for each number of milliseconds, so few numbers are better than many.
  if (waitedMs < given * negligible) return;
  headers['grpc-timeout'] = `${Math.max(0, Math.round(given - waitedMs))}m`;
}
