import { Server as NetServer, type Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import type { Http2Server, ServerHttp2Stream } from 'node:http2';
import type { Server } from '@grpc/grpc-js';

/**
 * The HTTP/2 servers that a gRPC server listens with: one for each address. grpc-js has no public way
 * to them, and no options for what a connection may cost.
 *
 * @throws Error if this version of grpc-js keeps them elsewhere: then nothing would be limited.
 */
export function http2ServersOf(server: Server): readonly Http2Server[] {
  const { http2Servers } = server as unknown as { readonly http2Servers?: unknown };
  const found: unknown[] = http2Servers instanceof Map ? [...http2Servers.keys()] : [];
  if (found.length === 0 || !found.every((each) => each instanceof NetServer)) {
    throw new Error('this version of @grpc/grpc-js does not tell its HTTP/2 servers');
  }
  return found as Http2Server[];
}

/**
 * Tells which methods of a gRPC server take a stream of requests. grpc-js has no public way to them.
 *
 * @throws Error if this version of grpc-js keeps them elsewhere.
 */
export function requestStreamsOf(server: Server): ReadonlySet<string> {
  const { handlers } = server as unknown as { readonly handlers?: unknown };
  if (!(handlers instanceof Map)) {
    throw new Error('this version of @grpc/grpc-js does not tell its methods');
  }
  const found = handlers as ReadonlyMap<string, { readonly type: string }>;
  return new Set(
    [...found].flatMap(([path, { type }]) =>
      type === 'clientStream' || type === 'bidi' ? [path] : [],
    ),
  );
}

/**
 * Takes the listeners of an event away from a server.
 *
 * @returns a function that hands an event on to them.
 */
export function takeOver(
  server: Http2Server,
  event: 'connection' | 'stream',
): (...args: readonly unknown[]) => void {
  const listeners = server.listeners(event);
  server.removeAllListeners(event);
  return (...args) => {
    for (const listener of listeners) listener.apply(server, args);
  };
}

/** Tells of each connection right before its session begins: behind the handshake, if there is TLS. */
export function beforeSession(server: Http2Server, tell: (socket: Socket) => void): void {
  server.prependListener(server instanceof TlsServer ? 'secureConnection' : 'connection', tell);
}

/**
 * Lets a server read nothing from a connection before `socket.read(0)`. It is the option `pauseOnConnect` of `net`, but
 * grpc-js makes the servers.
 */
export function pauseOnConnect(server: Http2Server): void {
  Object.assign(server, { pauseOnConnect: true });
}

/** What grpc-js calls the peer of a connection: `ServerCall.getPeer`. */
export function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress}:${remotePort}`;
}

/**
 * How many bytes of a socket the kernel has not taken yet.
 *
 * @returns undefined if this version of Node.js does not tell. `writableLength` is of no use here, because
 * HTTP/2 writes past the stream of the socket, and there is no other public way.
 */
export function unwrittenBytes(socket: Socket): number | undefined {
  const { _handle: handle } = socket as unknown as {
    readonly _handle?: { readonly writeQueueSize?: number } | null;
  };
  return handle?.writeQueueSize;
}

/**
 * Lets nothing more come from a socket that is about to be destroyed. Otherwise Node.js would read up to 2 MiB before
 * that. It is for such sockets only: HTTP/2 does not notice it, and would wait for ever.
 */
export function stopReading(socket: Socket): void {
  const { _handle: handle } = socket as unknown as {
    readonly _handle?: { readonly readStop?: () => void } | null;
  };
  handle?.readStop?.();
}

/**
 * Tells of each chunk that comes for a stream, also before anybody reads it. Node.js pushes one for each DATA frame. The
 * end is held back: a stream that ends without a chunk would tell of its end while nobody listens.
 *
 * @param received is told of each chunk. If it closes the stream, nobody else gets the chunk.
 * @returns a function to be called when there are listeners: it lets the stream end.
 */
export function onReceived(
  stream: ServerHttp2Stream,
  received: (chunk: Buffer) => void,
): () => void {
  const push = stream.push.bind(stream);
  let heard = false;
  let hasEnded = false;
  stream.push = (chunk: Buffer | null) => {
    if (chunk) {
      received(chunk);
      if (stream.closed) return false;
    } else if (!heard) {
      hasEnded = true;
      return false;
    }
    return push(chunk);
  };
  return () => {
    heard = true;
    if (hasEnded) push(null);
  };
}
