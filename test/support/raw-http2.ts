import { once } from 'node:events';
import { connect, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2';
import { callHeaders } from './http2-peer';

/** A message as gRPC puts it on the wire. */
export function frameOf(message: Buffer, compressed = false): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(compressed ? 1 : 0);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** A connection of HTTP/2, for what no gRPC client would send. */
export class RawHttp2 {
  private readonly session;

  constructor(port: number) {
    this.session = connect(`http://127.0.0.1:${port}`);
    this.session.on('error', () => undefined);
  }

  /** Opens a stream, and sends nothing but the header. */
  open(path: string, headers: OutgoingHttpHeaders = {}) {
    const stream = this.session.request(callHeaders(path, headers), { endStream: false });
    stream.on('error', () => undefined);
    stream.resume();
    return stream;
  }

  /** Sends a request, and returns the header of the answer: of a failure, it has the status. */
  async send(
    path: string,
    body: Buffer,
    headers: OutgoingHttpHeaders = {},
  ): Promise<IncomingHttpHeaders> {
    const stream = this.open(path, headers);
    stream.end(body);
    const [answer] = (await once(stream, 'response')) as [IncomingHttpHeaders];
    return answer;
  }

  close(): void {
    this.session.destroy();
  }
}
