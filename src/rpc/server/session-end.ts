import type { ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import { unwrittenBytes } from './http2';

/**
 * How an HTTP/2 session ends, whoever ends it: its peer by GOAWAY, grpc-js, or the service. It takes the place of what
 * Node.js does, which has three faults:
 *
 * - It closes a session while it reads a GOAWAY frame from it, and may get calls of a session that is marked as closed.
 *   Node.js 20 then goes on to use freed memory, which ends the process. So a session is closed in a turn of the event loop
 *   of its own, when no call is open and GOAWAY is written: then nghttp2 ignores new calls.
 * - It sends no ping when a session is marked as closed. grpc-js takes that for a dead peer, and destroys the session
 *   with the calls that still run.
 * - It does not call back if a session has already ended.
 */
export class SessionEnd {
  private hasBegun = false;
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
      setImmediate(() => {
        destroy(error, code);
        // Nobody waits for what is not written yet. Node.js would keep it for as long as the peer takes nothing.
        if (error instanceof Error) socket.destroy();
      });
    };
  }

  /** Whether the session accepts no more calls. The open ones go on. */
  get begun(): boolean {
    return this.hasBegun;
  }

  /**
   * Ends the session if it is to end, no call is open, and nothing waits to be written. To be called when the last open
   * call has ended, also while frames of the session are read, and from time to time.
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
