import type {
  Http2Server,
  IncomingHttpHeaders,
  ServerHttp2Session,
  ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import type { Server } from '@grpc/grpc-js';
import { LogThrottle } from '../../telemetry/log-throttle';
import { groupBy } from '../../model/collections';
import type { Logger } from '../../telemetry/log';
import type { Arrivals } from './arrivals';
import { Connection } from './connection';
import { beforeSession, http2ServersOf, pauseOnConnect, takeOver } from './http2';
import { networkOf } from './networks';
import type { CutOff, PeerObserver } from './observer';
import { Penalties } from './penalties';

/** How often connections are checked, in milliseconds. In between, one can exceed some of its limits. */
const interval = 200;

/** The most metadata of a call, in bytes as HTTP/2 counts them (RFC 9113, section 6.5.2). */
const maxMetadata = 64 * 1024;

/** Reasons without a penalty: such a peer has cost little. */
const unpunished: ReadonlySet<CutOff> = new Set(['handshake', 'protocol_error', 'too_many']);

/** What all connections may cost together, in bytes: four times what one may. */
const maxRequestBytes = 64 * 1024 * 1024;
const maxAnswerBytes = 128 * 1024 * 1024;

/**
 * How many connections of an address get the full limit of open calls. Further ones get less, because the calls of many
 * connections can come in one turn of the event loop.
 */
const fullConnections = 2;

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
 * one of the most expensive address is cut off. Addresses of one network count as one: see {@link networkOf}.
 */
export class Peers {
  private readonly connections = new Map<string, Connection>();
  private readonly throttles = new Map<CutOff, LogThrottle>();
  private readonly timer: NodeJS.Timeout;
  private readonly penalties = new Penalties();
  private readonly bySession = new WeakMap<ServerHttp2Session, Connection>();
  private requestBytes = 0;

  /**
   * @param server must listen already.
   * @param arrivals takes the calls.
   * @param observer undefined: nobody is told.
   */
  constructor(
    private readonly server: Server,
    private readonly limits: PeerLimits,
    private readonly arrivals: Arrivals,
    private readonly observer: PeerObserver | undefined,
    private readonly log: Logger,
  ) {
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
      if (connection)
        http2.updateSettings({ maxConcurrentStreams: this.allowedCallsOf(connection) });
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
        connection.begin(session, this.allowedCallsOf(connection));
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
    const connection = new Connection(
      socket,
      address,
      this.limits.maxConcurrentStreams,
      performance.now(),
      (bytes) => {
        this.requestBytes += bytes;
        if (bytes > 0 && this.requestBytes > maxRequestBytes) {
          this.costliest('requestBytes')?.cut('request_bytes');
        }
      },
      (reason) => {
        if (!unpunished.has(reason)) this.penalties.punish(address);
        this.hasCut(reason);
      },
    );
    const name = nameOf(socket);
    this.connections.set(name, connection);
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
   * Closes a connection if there are too many: one of the address that has most, or of those that have
   * equally many.
   *
   * If they have connections without calls, the one that has been idle for longest is closed. It loses
   * nothing, since its client connects again when it has a call. Otherwise the oldest one is closed, but only
   * if its address has at least two more than the newcomer's.
   *
   * @returns whether there is room now.
   */
  private makeRoom(newcomer: string): boolean {
    if (this.connections.size < this.limits.maxConnections) return true;
    const byAddress = this.byAddress();
    const addresses = [...byAddress.values()];
    const most = addresses.reduce((longest, { length }) => Math.max(longest, length), 0);
    const ofMost = addresses.filter(({ length }) => length === most).flat();
    const idle = ofMost
      .filter(({ idleSince }) => idleSince !== undefined)
      .sort((a, b) => (a.idleSince ?? 0) - (b.idleSince ?? 0));
    const fair = most >= (byAddress.get(newcomer)?.length ?? 0) + 2;
    const giving = idle[0] ?? (fair ? ofMost[0] : undefined);
    if (giving) giving.cut('too_many');
    else this.hasCut('too_many');
    return giving !== undefined;
  }

  private look(): void {
    const now = performance.now();
    this.penalties.forget();
    let answerBytes = 0;
    for (const connections of this.byAddress().values()) {
      const share = this.shareOf(connections.length);
      for (const connection of connections) {
        connection.look(now);
        connection.allowCalls(share);
        answerBytes += connection.answerBytes;
      }
    }
    while (answerBytes > maxAnswerBytes) {
      const costliest = this.costliest('answerBytes');
      if (!costliest?.answerBytes) return;
      answerBytes -= costliest.answerBytes;
      costliest.cut('answer_bytes');
    }
  }

  /** How many calls a new connection may have open. */
  private allowedCallsOf({ address }: Connection): number {
    let connections = 0;
    for (const other of this.connections.values()) if (other.address === address) connections++;
    return this.shareOf(connections);
  }

  /** How many calls a connection may have open if its address has so many connections. */
  private shareOf(connections: number): number {
    const most = this.limits.maxConcurrentStreams;
    let share = most;
    // In few steps, so that peers are seldom told.
    while (share * connections > most * fullConnections && share > leastCalls) {
      share = Math.max(Math.floor(share / 2), leastCalls);
    }
    return share;
  }

  /**
   * The most expensive connection of the most expensive address. Otherwise, an attacker with many cheap
   * connections could have the connection of a busy gateway cut off.
   */
  private costliest(cost: 'requestBytes' | 'answerBytes'): Connection | undefined {
    const costOf = (connections: readonly Connection[]): number =>
      connections.reduce((sum, connection) => sum + connection[cost], 0);
    const [most] = [...this.byAddress().values()].sort((a, b) => costOf(b) - costOf(a));
    return most?.sort((a, b) => b[cost] - a[cost])[0];
  }

  private byAddress(): Map<string, Connection[]> {
    return groupBy(this.connections.values(), ({ address }) => address);
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

/** Names a connection. One from the same port that has just ended may still have the same name. */
function nameOf({ localAddress, remoteAddress, remotePort }: Socket): string {
  return `${localAddress} ${remoteAddress} ${remotePort}`;
}
