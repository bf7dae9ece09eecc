import type {
  Http2Server,
  IncomingHttpHeaders,
  ServerHttp2Session,
  ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import type { Server } from '@grpc/grpc-js';
import { LogThrottle } from '../../telemetry/log-throttle';
import type { Logger } from '../../telemetry/log';
import type { KnownPeers } from '../call/known-peers';
import type { Arrivals } from './arrivals';
import { Connection, type Keeper } from './connection';
import { byAddress, excessOf, givingWay } from './give-way';
import { beforeSession, http2ServersOf, requestStreamsOf, pauseOnConnect, takeOver } from './http2';
import { networkOf } from './networks';
import type { CutOff, PeerObserver } from './observer';
import { Penalties } from './penalties';

/** How often connections are checked, in milliseconds. In between, one can exceed some of its limits. */
const interval = 200;

/** The most metadata of a call, in bytes as HTTP/2 counts them (RFC 9113, section 6.5.2). */
const maxMetadata = 64 * 1024;

/** Reasons without a penalty: such a peer has cost little. */
const unpunished: ReadonlySet<CutOff> = new Set(['handshake', 'protocol_error', 'too_many']);

/**
 * What all connections may cost together, in bytes: three times what one may cost. With more, a container of 512 MiB
 * would be too small.
 */
const maxRequestBytes = 48 * 1024 * 1024;
const maxAnswerBytes = 96 * 1024 * 1024;

/**
 * How many open calls the connections of an address share, in multiples of what one may have. They can all come in one
 * turn of the event loop, and be cancelled in the next.
 */
const addressShare = 2;

/** A connection may always have this many calls, besides those that stay open. */
const leastCalls = 20;

/** The limits that the configuration sets. */
interface PeerLimits {
  readonly maxConnections: number;
  /** Calls that a connection may have open at the same time. */
  readonly maxConcurrentStreams: number;
}

/**
 * Protects the service from broken and hostile peers: each connection has limits, and so have all of them
 * together. A connection that exceeds its limits is cut off. If all together exceed theirs, the most expensive
 * one of the most expensive address is cut off (see {@link excessOf}). Addresses of one network count as one: see
 * {@link networkOf}.
 */
export class Peers {
  private readonly connections = new Map<string, Connection>();
  private readonly throttles = new Map<CutOff, LogThrottle>();
  private readonly timer: NodeJS.Timeout;
  private readonly penalties = new Penalties();
  private readonly bySession = new WeakMap<ServerHttp2Session, Connection>();
  private readonly requestStreams: ReadonlySet<string>;
  private requestBytes = 0;
  private readonly keeper: Keeper = {
    isKnown: ({ peer }) => this.known.has(peer),
    takesStream: (path) => path !== undefined && this.requestStreams.has(path),
    isPunishedStranger: ({ peer, address }) => this.penalties.has(address) && !this.known.has(peer),
    requestBytesGrown: (bytes) => {
      this.requestBytes += bytes;
      if (bytes > 0 && this.requestBytes > maxRequestBytes) {
        this.cutExcess('requestBytes', maxRequestBytes, 'request_bytes');
      }
    },
    cutOff: ({ address }, reason, punished) => {
      if (punished && !unpunished.has(reason)) this.penalties.punish(address);
      this.hasCut(reason);
    },
  };

  /**
   * @param server must listen already.
   * @param arrivals takes the calls.
   * @param known has the peers that are no strangers.
   * @param observer undefined: nobody is told.
   */
  constructor(
    private readonly server: Server,
    private readonly limits: PeerLimits,
    private readonly arrivals: Arrivals,
    private readonly known: KnownPeers,
    private readonly observer: PeerObserver | undefined,
    private readonly log: Logger,
  ) {
    this.requestStreams = requestStreamsOf(server);
    for (const http2 of http2ServersOf(server)) this.watch(http2);
    this.timer = setInterval(() => {
      this.look();
    }, interval).unref();
  }

  /**
   * Accepts no new connections, and sends GOAWAY on the open ones. Connections that do not speak HTTP/2 yet (they wait,
   * or are in the TLS handshake) have no calls, and are ended at once.
   *
   * @returns when all connections have ended. A correct client ends its connection once it has all its answers.
   */
  drain(): Promise<void> {
    return new Promise((resolve) => {
      this.server.tryShutdown(() => {
        resolve();
      });
      for (const connection of this.connections.values()) connection.endUnbegun();
    });
  }

  close(): void {
    clearInterval(this.timer);
  }

  private watch(http2: Http2Server): void {
    http2.updateSettings({ maxHeaderListSize: maxMetadata });
    // If Node.js gets bytes that came before HTTP/2 began, it reads all of them at once, and streams can end before it
    // tells of them. In this way, a peer could end the process.
    pauseOnConnect(http2);
    // In the first settings, because most clients wait for those before they call: calls over the limit are reset.
    beforeSession(http2, (socket) => {
      const connection = this.connections.get(nameOf(socket));
      if (!connection) return;
      connection.willBegin(socket, this.newShareOf(connection));
      http2.updateSettings({ maxConcurrentStreams: connection.share });
    });
    // In place of Node.js and grpc-js, which would begin the session at once.
    const speak = takeOver(http2, 'connection');
    http2.on('connection', (socket: Socket) => {
      this.accept(socket, () => {
        if (socket.destroyed) return;
        speak(socket);
        socket.read(0);
      });
    });
    http2.on('session', (session: ServerHttp2Session) => {
      const connection = this.connections.get(nameOf(session.socket));
      if (connection) {
        this.bySession.set(session, connection);
        connection.begin(session);
      } else session.destroy();
    });
    // In place of grpc-js, which would begin the call at once.
    const call = takeOver(http2, 'stream');
    http2.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, flags: number) => {
      // An error that nobody listens to ends the process. All that matters is that the stream closes then.
      stream.on('error', () => undefined);
      const session = stream.session as ServerHttp2Session | undefined;
      const connection = session && this.bySession.get(session);
      // Undefined: it has ended already.
      if (!connection) return;
      this.arrivals.take(connection, stream, headers, () => {
        call(stream, headers, flags);
      });
    });
  }

  private accept(socket: Socket, speak: () => void): void {
    const address = socket.remoteAddress && networkOf(socket.remoteAddress);
    // Undefined: the peer has gone already.
    const wait = address === undefined ? undefined : this.admit(address);
    if (address === undefined || wait === undefined) {
      socket.destroy();
      return;
    }
    const { maxConcurrentStreams } = this.limits;
    const connection = new Connection(
      socket,
      address,
      maxConcurrentStreams,
      performance.now(),
      this.keeper,
    );
    const name = nameOf(socket);
    this.connections.set(name, connection);
    this.known.forget(connection.peer);
    socket.once('close', () => {
      // A peer can connect again from the same port before its old connection has closed here.
      if (this.connections.get(name) === connection) this.connections.delete(name);
    });
    // The connection may break while it waits, and an error that nobody listens to ends the process.
    socket.on('error', () => undefined);
    const begin = (): void => {
      connection.beginReading();
      speak();
    };
    if (wait > 0) setTimeout(begin, wait);
    else begin();
  }

  /** @returns how long a new connection of an address has to wait, in milliseconds; undefined: there is no room for it. */
  private admit(address: string): number | undefined {
    const wait = this.penalties.turnOf(address);
    if (wait === undefined) this.hasCut('too_many');
    return wait !== undefined && this.makeRoom(address) ? wait : undefined;
  }

  /**
   * Closes a connection if there are too many.
   *
   * @returns whether there is room now.
   */
  private makeRoom(newcomer: string): boolean {
    if (this.connections.size < this.limits.maxConnections) return true;
    // Several newcomers can come before those that were cut off have closed.
    const open = [...this.connections.values()].filter(({ isCut }) => !isCut);
    if (open.length < this.limits.maxConnections) return true;
    const giving = givingWay(open, newcomer, this.known);
    if (giving) giving.cut('too_many');
    else this.hasCut('too_many');
    return giving !== undefined;
  }

  private look(): void {
    const now = performance.now();
    this.penalties.forget();
    for (const connections of byAddress(this.connections.values()).values()) {
      let shared = sharesOf(connections);
      for (const connection of connections) {
        connection.look(now);
        shared -= connection.share;
        connection.allowCalls(this.shareOf(connection, shared));
        shared += connection.share;
      }
    }
    this.cutExcess('requestBytes', maxRequestBytes, 'request_bytes');
    this.cutExcess('answerBytes', maxAnswerBytes, 'answer_bytes');
    this.arrivals.cutExcess();
  }

  /** How many calls a new connection may have open. Its own share is still 0. */
  private newShareOf(connection: Connection): number {
    const { address } = connection;
    const others = [...this.connections.values()].filter((other) => other.address === address);
    return this.shareOf(connection, sharesOf(others));
  }

  /**
   * How many calls a connection may have open: half of what the others of its address leave. So something is left for
   * the next one. While a penalty of its address counts, it begins with few. A known peer may then have twice as many
   * after each look, a stranger no more.
   *
   * @param others the sum of the shares of the others.
   */
  private shareOf({ address, peer, share }: Connection, others: number): number {
    const most = this.limits.maxConcurrentStreams;
    const half = Math.floor((most * addressShare - others) / 2);
    const usual = Math.min(most, Math.max(half, leastCalls));
    if (!this.penalties.has(address)) return usual;
    const grown = this.known.has(peer) ? 2 * share : share;
    return Math.min(usual, Math.max(grown, leastCalls));
  }

  /** Cuts connections off until they do not cost too much together. */
  private cutExcess(cost: 'requestBytes' | 'answerBytes', limit: number, reason: CutOff): void {
    for (;;) {
      const costs = [...this.connections.values()].map((one) => [one, one[cost]] as const);
      const excess = excessOf(costs, limit, this.known);
      if (!excess) return;
      excess.connection.cut(reason, excess);
    }
  }

  private hasCut(reason: CutOff): void {
    this.observer?.connectionCut(reason);
    let throttle = this.throttles.get(reason);
    if (!throttle) {
      throttle = new LogThrottle();
      this.throttles.set(reason, throttle);
    }
    if (throttle.allows()) this.log.warn({ reason }, 'cut a connection off');
  }
}

/** The sum of what connections may have open, besides calls that have been open for long. */
function sharesOf(connections: readonly Connection[]): number {
  return connections.reduce((sum, { share }) => sum + share, 0);
}

/** Names a connection. One from the same port that has just ended may still have the same name. */
function nameOf({ localAddress, remoteAddress, remotePort }: Socket): string {
  return `${localAddress} ${remoteAddress} ${remotePort}`;
}
