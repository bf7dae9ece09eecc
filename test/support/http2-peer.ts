import { once } from 'node:events';
import {
  connect as connectHttp2,
  type ClientHttp2Session,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { connect, type Socket } from 'node:net';

/** The types of HTTP/2 frames (RFC 9113, section 6), and their flags. */
export const frames = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;
export const endStream = 1;
export const endHeaders = 4;
const acknowledged = 1;

const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

/** The most that a frame carries, in bytes, unless the other side allows more. */
const frameSize = 16_384;

/** A frame as it is on the wire. */
export function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A number as frames have it. */
export function uint32(value: number): Buffer {
  const written = Buffer.alloc(4);
  written.writeUInt32BE(value);
  return written;
}

/** The frames that open all windows: the other side may send as much as it likes. */
export const openWindows: Buffer = Buffer.concat([
  // SETTINGS_INITIAL_WINDOW_SIZE, for all streams (RFC 9113, section 6.5.2).
  frame(frames.settings, 0, 0, Buffer.concat([Buffer.from([0, 4]), uint32(2 ** 31 - 1)])),
  frame(frames.windowUpdate, 0, 0, uint32(2 ** 30)),
]);

/** A GOAWAY frame (RFC 9113, section 6.8). */
export function goaway({ last = 0, code = 0 } = {}): Buffer {
  return frame(frames.goaway, 0, 0, Buffer.concat([uint32(last), uint32(code)]));
}

/** A metadata entry that the other side is not to remember (RFC 7541, section 6.2.2). */
export function entry(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0]), text(name), text(value)]);
}

function text(value: string): Buffer {
  return Buffer.concat([length(value.length), Buffer.from(value, 'latin1')]);
}

/** RFC 7541, section 5.1, with a prefix of seven bits. */
function length(value: number): Buffer {
  if (value < 127) return Buffer.from([value]);
  const bytes = [127];
  let rest = value - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

/** The metadata that each call has, and more. */
function block(path: string, more: readonly Buffer[]): Buffer {
  return Buffer.concat([
    entry(':method', 'POST'),
    entry(':scheme', 'http'),
    entry(':path', path),
    entry(':authority', 'localhost'),
    entry('content-type', 'application/grpc'),
    entry('te', 'trailers'),
    ...more,
  ]);
}

/** The frames that begin a call. */
export function call(stream: number, path: string, ...more: readonly Buffer[]): Buffer {
  const headers = block(path, more);
  const found: Buffer[] = [];
  for (let at = 0; at < headers.length; at += frameSize) {
    const type = at === 0 ? frames.headers : frames.continuation;
    const flags = at + frameSize >= headers.length ? endHeaders : 0;
    found.push(frame(type, flags, stream, headers.subarray(at, at + frameSize)));
  }
  return Buffer.concat(found);
}

/** The headers of a call by Node.js's own client. */
export function callHeaders(path: string, headers: OutgoingHttpHeaders = {}): OutgoingHttpHeaders {
  return {
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  };
}

/**
 * Opens a session of Node.js's own client.
 *
 * @param address a local one: only Linux has many.
 * @throws Error if the other side closes the connection before it has begun.
 */
export async function connected(port: number, address = '127.0.0.1'): Promise<ClientHttp2Session> {
  const session = connectHttp2(`http://127.0.0.1:${port}`, {
    createConnection: () => connect({ port, host: '127.0.0.1', localAddress: address }),
  });
  session.on('error', () => undefined);
  await new Promise((resolve, reject) => {
    session.once('remoteSettings', resolve).once('close', () => {
      reject(new Error('the connection was refused'));
    });
  });
  return session;
}

/** A client that writes any frames, whether HTTP/2 allows them or not. */
export class Http2Peer {
  private constructor(private readonly socket: Socket) {}

  /**
   * @param from the local address: any of the loopback's. Only Linux has many.
   * @param localPort 0: any that is free.
   */
  static async connect(port: number, from = '127.0.0.1', localPort = 0): Promise<Http2Peer> {
    const localAddress = process.platform === 'linux' ? from : '127.0.0.1';
    const socket = connect({ port, host: '127.0.0.1', localAddress, localPort });
    await once(socket, 'connect');
    // Answers do not matter, and neither do errors: tests wait for the end (`cutOff`).
    socket.resume().on('error', () => undefined);
    const peer = new Http2Peer(socket);
    peer.send(Buffer.from(preface), frame(frames.settings, 0, 0, Buffer.alloc(0)));
    return peer;
  }

  send(...written: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(written));
  }

  /** Sends for as long as anybody listens. */
  flood(next: () => Buffer): void {
    const { socket } = this;
    const go = (): void => {
      while (socket.writable && socket.write(next()));
    };
    socket.on('drain', go);
    go();
  }

  /** Waits until the other side has ended the connection. */
  async cutOff(): Promise<void> {
    const { socket } = this;
    // Not by `once`: that it can't write any more is an error for it.
    if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
  }

  /** Waits until the other side says anything. */
  async heard(): Promise<void> {
    await once(this.socket, 'data');
  }

  /** Waits until the other side has read all that was sent: it answers a ping. */
  async read(): Promise<void> {
    const payload = Buffer.from('all read');
    this.send(frame(frames.ping, 0, 0, payload));
    await this.hear((heard) => heard.includes(payload));
  }

  /** Waits until the other side sends a ping, and answers it. */
  async answerPing(): Promise<void> {
    const payload = 8;
    const head = frame(frames.ping, 0, 0, Buffer.alloc(payload)).subarray(0, -payload);
    // Its head, and all of its payload.
    const heard = await this.hear((bytes) => bytes.subarray(0, -payload).includes(head));
    const at = heard.indexOf(head) + head.length;
    this.send(frame(frames.ping, acknowledged, 0, heard.subarray(at, at + payload)));
  }

  /** Waits until it has heard enough from now on. */
  private async hear(isEnough: (heard: Buffer) => boolean): Promise<Buffer> {
    const { socket } = this;
    let heard = Buffer.alloc(0);
    return new Promise((resolve) => {
      const look = (chunk: Buffer): void => {
        heard = Buffer.concat([heard, chunk]);
        if (!isEnough(heard)) return;
        socket.off('data', look);
        resolve(heard);
      };
      socket.on('data', look);
    });
  }

  /**
   * Takes what comes, slowly, and allows the other side a byte more each time.
   *
   * @returns how many bytes came until the other side ended the connection.
   */
  async readSlowly(): Promise<number> {
    const { socket } = this;
    const update = frame(frames.windowUpdate, 0, 0, Buffer.from([0, 0, 0, 1]));
    let bytes = 0;
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      this.send(update);
      socket.pause();
      setImmediate(() => {
        socket.resume();
      });
    });
    socket.resume();
    await Promise.race([once(socket, 'end'), this.cutOff()]);
    return bytes;
  }

  /** Takes nothing any more that the other side sends. */
  stopReading(): void {
    this.socket.pause();
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** Breaks the connection off, and connects again from the same port. */
  async reconnect(port: number): Promise<Http2Peer> {
    const { localAddress, localPort, closed } = this.socket;
    const gone = closed ? undefined : once(this.socket, 'close');
    this.socket.resetAndDestroy();
    await gone;
    return Http2Peer.connect(port, localAddress, localPort);
  }
}
