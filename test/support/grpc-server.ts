import { promisify } from 'node:util';
import type { ServerCredentials, UntypedHandleCall } from '@grpc/grpc-js';
import { KnownPeers } from '../../src/rpc/call/known-peers';
import { RunningCalls } from '../../src/rpc/call/running-calls';
import { Arrivals } from '../../src/rpc/server/arrivals';
import { createGrpcServer, listen } from '../../src/rpc/server/grpc-server';
import { http2ServersOf } from '../../src/rpc/server/http2';
import type { CutOff, PeerObserver } from '../../src/rpc/server/observer';
import { Peers } from '../../src/rpc/server/peers';
import { OpenStreams } from '../../src/rpc/server/streaming';
import { createLogger } from '../../src/telemetry/log';

/** The limits of the tests, where they do not say others. */
const limits = {
  keepalive: 60,
  maxConnectionAge: 0,
  requestTimeout: 10,
  maxConnections: 100,
  maxConcurrentStreams: 200,
};

const same = (bytes: Buffer): Buffer => bytes;

/** A gRPC server without a database, with everything that protects it. Its messages are bytes. */
export interface TestServer {
  readonly port: number;
  readonly arrivals: Arrivals;
  /** The peers that count as having valid credentials. */
  readonly known: KnownPeers;
  /** How many connections are open. */
  connections(): Promise<number>;
  /** How many HTTP/2 sessions are in memory, whether they have ended or not. */
  sessions(): number;
  /** Accepts nothing more, lets calls end, and resolves when all connections have ended. */
  drain(): Promise<void>;
  stop(): void;
}

/**
 * @param handlers by the path of their method, such as `/test/Echo`.
 * @param options `begun` is called when a call begins.
 */
export async function startTestServer(
  handlers: Readonly<Record<string, UntypedHandleCall>>,
  options: {
    readonly begun?: (path: string) => void;
    readonly cut?: (reason: CutOff) => void;
    /** Handlers of methods with streams in both directions. */
    readonly streams?: Readonly<Record<string, UntypedHandleCall>>;
    readonly limits?: Partial<typeof limits>;
    /** For TLS. */
    readonly credentials?: ServerCredentials;
  } = {},
): Promise<TestServer> {
  const config = { address: '', tls: undefined, ...limits, ...options.limits };
  const running = new RunningCalls();
  const observer: PeerObserver = {
    connectionCut: (reason) => options.cut?.(reason),
  };
  const server = createGrpcServer(config, running, new OpenStreams());
  const { streams = {} } = options;
  for (const [path, handler] of Object.entries({ ...handlers, ...streams })) {
    const method = {
      path,
      requestStream: path in streams,
      responseStream: path in streams,
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    };
    server.addService({ method }, { method: handler });
  }
  const port = await listen(server, '127.0.0.1:0', options.credentials);
  const http2Servers = http2ServersOf(server);
  const sessions: WeakRef<object>[] = [];
  for (const http2 of http2Servers) {
    http2.on('session', (session) => sessions.push(new WeakRef(session)));
    http2.on('stream', (_stream, headers) => options.begun?.(headers[':path'] ?? ''));
  }
  const known = new KnownPeers();
  const arrivals = new Arrivals(running, known);
  const log = createLogger({ level: 'silent', format: 'json' });
  const peers = new Peers(server, config, arrivals, known, observer, log);
  return {
    port,
    arrivals,
    known,
    connections: async () => {
      const counts = http2Servers.map((http2) => promisify(http2.getConnections.bind(http2))());
      return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
    },
    sessions: () => sessions.filter((session) => session.deref()).length,
    drain: () => peers.drain(),
    stop: () => {
      peers.close();
      server.forceShutdown();
    },
  };
}
