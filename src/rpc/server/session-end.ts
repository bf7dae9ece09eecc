import type { ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import { unwrittenBytes } from './http2';
import { isNode20 } from './node-20';

/**
 * How an HTTP/2 session ends, whoever ends it: its peer by GOAWAY, grpc-js, or the service. It replaces `close` and
 * `destroy` of the session, because those of Node.js have three faults:
 *
 * - Node.js calls them while it reads a GOAWAY frame, and calls can still come for a session that is marked as closed.
 *   Node.js 20 then uses freed memory, which ends the process.
 * - `ping` sends nothing for a session that is marked as closed. grpc-js takes that for a dead peer, and destroys the
 *   session with the calls that still run.
 * - `close` does not call back if the session has already ended.
 *
 * Here, `close` sends GOAWAY, after which nghttp2 ignores new calls, and closes the session once no call is open and
 * everything is written. `destroy` ends open calls too. `close` never acts while frames are read, and on Node.js 20
 * `destroy` does not either.
 */
export class SessionEnd {
  private hasBegun = false;
  private hasFailed = false;
  /** What Node.js does. */
  private readonly close: () => void;

  /**
   * @param socket of the session.
   * @param isIdle whether no call is open.
   */
  constructor(
    private readonly session: ServerHttp2Session,
    private readonly socket: Socket,
    private readonly isIdle: () => boolean,
  ) {
    this.close = session.close.bind(session);
    const destroy = session.destroy.bind(session);
    session.close = (ended) => {
      this.begin(ended);
    };
    session.destroy = (error, code) => {
      this.hasFailed ||= error instanceof Error;
      // If nghttp2 has ended the session, later versions of Node.js never free it unless it is destroyed at once.
      if (!isNode20) {
        destroy(error, code);
        return;
      }
      setImmediate(() => {
        destroy(error, code);
      });
    };
  }

  /** Whether the session was destroyed with an error. Then bytes that are not written yet are dropped. */
  get failed(): boolean {
    return this.hasFailed;
  }

  /** Whether the session accepts no more calls. The open ones go on. */
  get begun(): boolean {
    return this.hasBegun;
  }

  /**
   * Ends the session if it is to end, no call is open, and nothing waits to be written. To be called when the last open
   * call has ended, and from time to time. It may be called while frames are read.
   */
  check(): void {
    if (!this.hasBegun) return;
    setImmediate(() => {
      this.finish();
    });
  }

  private begin(ended: (() => void) | undefined): void {
    const { session } = this;
    if (session.destroyed) {
      if (ended) queueMicrotask(ended);
      return;
    }
    if (ended) session.once('close', ended);
    if (this.hasBegun) return;
    this.hasBegun = true;
    setImmediate(() => {
      if (session.destroyed) return;
      // It tells which calls are still answered (RFC 9113, section 6.8); nghttp2 ignores later ones.
      session.goaway();
      // nghttp2 writes it at the end of this turn.
      setImmediate(() => {
        this.check();
      });
    });
  }

  private finish(): void {
    const { session, socket } = this;
    if (session.destroyed || !this.isIdle() || unwrittenBytes(socket)) return;
    this.close();
  }
}
