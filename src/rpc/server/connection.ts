import {
  constants,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import type { Rate } from '../../model/rate';
import { fullBucket } from '../../turns/token-bucket';
import { outliveStreams } from './node-20';
import { onReceived, peerOf, stopReading, unwrittenBytes } from './http2';
import { MessageCount } from './message-count';
import type { CutOff } from './observer';
import { SessionEnd } from './session-end';

/** The largest request that is read, in bytes: a share token and a few short fields. */
export const maxRequestSize = 64 * 1024;

/** How long a peer may take for TLS and the first frame of HTTP/2, in milliseconds. */
const handshakeTime = 10_000;

/**
 * The most bytes of open calls, their metadata included, also of complete requests: the calls that a gateway has
 * open have some kilobytes each, and the largest has 128 KiB.
 */
const maxRequestBytes = 16 * 1024 * 1024;

/** The most bytes of answers that wait for the peer to take them: one answer may have some megabytes. */
const maxAnswerBytes = 32 * 1024 * 1024;

/** How long a peer may take to receive an answer, in milliseconds: 70 KB/s for one of 4 MiB. */
const answerTime = 60_000;

/**
 * The most bytes of one call, its metadata included. One message may have 64 KiB: gRPC refuses a larger one as
 * soon as it has read its length. The rest is for bytes that were already sent by then.
 */
const maxCallBytes = 256 * 1024;

/**
 * How many messages a call may send before its stream is closed, and how many compressed ones. A correct call has one
 * message; a second one is answered with a status that says so. In a stream of reflection, up to 64 requests are answered
 * (`streaming.ts`). grpc-js reads all messages that it gets, even after it has answered. An empty one, which has five
 * bytes, takes as long as a whole one.
 */
const maxMessages = { usual: 2, ofStreams: 128, compressed: 2 };

/**
 * The longest compressed message, in bytes. The longest share token has some six kilobytes when it is compressed. zlib can
 * take 0.12 ms for each kilobyte, even if nothing comes out of it. It goes on when the call has ended, and the check of
 * share tokens waits for the same threads.
 */
const maxCompressed = 8 * 1024;

/** How long a call that was answered may leave its request open, in milliseconds. */
const halfOpenTime = 5_000;

/** How long a stream or session that has ended may wait for what nobody reads or takes any more, in milliseconds. */
const endedTime = 1_000;

/** A call that is open for longer than this is probably a stream that stays open, in milliseconds. */
const longCall = 1_000;

/** A smaller DATA frame is a small frame, which costs more than it carries. A usual request has a kilobyte. */
const smallFrame = 256;

/** How many small DATA frames a connection may send: a basic number, and more for each call. */
const smallFrames = { atAll: 1_024, perCall: 16 };

/**
 * How many bytes a connection may send besides messages: metadata (up to 64 KiB a call), the headers of
 * frames, and frames that carry no message. Node.js tells how many bytes came, but not how many frames.
 */
const overheadBytes = { atAll: 1024 * 1024, perCall: 64 * 1024, perSecond: 64 * 1024 };

/** A call that ends with an error within this time counts as a rapid reset (CVE-2023-44487), in milliseconds. */
const rapid = 50;

/** How many rapid resets a connection may send. nghttp2 allows 1,000 resets of any kind. */
const rapidResets: Readonly<Record<'usual' | 'ofPunishedStrangers', Rate>> = {
  usual: { burst: 100, perSecond: 20 },
  ofPunishedStrangers: { burst: 20, perSecond: 20 },
};

/**
 * How many calls of a connection may send more than one message may have. A correct unary call never does. But if one
 * tenant of a gateway makes such calls, the others should not lose theirs.
 */
const oversizedCalls: Readonly<Record<'ofStrangers' | 'ofKnown', Rate>> = {
  ofStrangers: { burst: 50, perSecond: 10 },
  ofKnown: { burst: 500, perSecond: 100 },
};

/** The most bytes of a request that is not oversized: one message, with gRPC's five bytes in front. */
const wholeRequest = maxRequestSize + 5;

/** By how much a connection's share grows at least, unless it becomes full, so that its peer is seldom told. */
const leastGrowth = 1.5;

/** The most bytes that the answer to a ping has, TLS included. If more come, the peer has sent other things, too. */
const pingAnswer = 128;

/** Who looks after all connections. */
export interface Keeper {
  /** Whether the connection's peer is known: see `KnownPeers`. */
  isKnown(connection: Connection): boolean;
  /** Whether a method takes a stream of requests. */
  takesStream(path: string | undefined): boolean;
  /** Whether its peer is a stranger whose address was punished lately. */
  isPunishedStranger(connection: Connection): boolean;
  /** Is told by how many bytes `requestBytes` has grown; negative: shrunk. */
  requestBytesGrown(bytes: number): void;
  /** Is told once, if the connection is cut off, and whether that is to be punished. */
  cutOff(connection: Connection, reason: CutOff, punished: boolean): void;
}

/** An open call of the connection, and what it costs. */
export interface OpenCall {
  readonly stream: ServerHttp2Stream;
  readonly openedAt: number;
  /** To be called when its stream has listeners: until then, it does not tell of its end. */
  readonly letEnd: () => void;
  /** Set while it waits for its turn. */
  leaveQueue: (() => void) | undefined;
  /** How many bytes of metadata and messages it has received. */
  bytes: number;
  /** How many of them are of messages. */
  messageBytes: number;
  readonly messages: MessageCount;
  /** How many messages it may have. */
  readonly maxMessages: number;
  /** Whether it has sent too many bytes or messages. That counts once. */
  oversized: boolean;
  /** Since when a part of its answer waits to be taken; undefined: none does. */
  unreadSince: number | undefined;
  /** Since when its stream has ended, though Node.js has not forgotten it; undefined: it has not. */
  endedAt: number | undefined;
  /** When its answer was complete, though its request has not ended; undefined: it is not. */
  answeredAt: number | undefined;
}

/**
 * One connection and what it costs. It is cut off when it costs more than a correct client needs. Times are
 * those of `performance.now`, in milliseconds.
 */
export class Connection {
  /** Bytes of requests of calls that have not ended. */
  requestBytes = 0;
  /** Bytes of answers that waited to be taken when the connection was last looked at. */
  answerBytes = 0;
  /** How many calls its peer may have open, besides those that have been open for long. */
  share = 0;

  /** What gRPC calls the peer: its address and port. */
  readonly peer: string;

  private readonly calls = new Set<OpenCall>();
  /** What carries its session: the TLS socket, if there is TLS. */
  private carrier: Socket;
  private session: ServerHttp2Session | undefined;
  private end: SessionEnd | undefined;
  /**
   * Since when bytes wait to be written though no call is open, or its session is destroyed though its socket is open;
   * undefined: neither.
   */
  private restSince: number | undefined;
  /** When the peer was first listened to; undefined: it still waits for that. */
  private readSince: number | undefined;
  private ready = false;
  private callsSeen = 0;
  /** How many calls the peer may have open, as it was told last. */
  private allowedCalls = 0;
  /** How many of its calls had been open for long when the connection was last looked at. */
  private longCalls = 0;
  private dataBytes = 0;
  private smallFrames = 0;
  private readonly rapidResets = {
    usual: fullBucket(rapidResets.usual),
    ofPunishedStrangers: fullBucket(rapidResets.ofPunishedStrangers),
  };
  private readonly oversizedCalls = {
    ofStrangers: fullBucket(oversizedCalls.ofStrangers),
    ofKnown: fullBucket(oversizedCalls.ofKnown),
  };
  private bytesAtLook = 0;
  /** `bytesRead` at the last ping, or after its answer: if nothing more has come, no other ping is needed. */
  private bytesChecked = 0;
  private idleAt: number;
  private over = false;

  /**
   * @param address of the peer, without its port.
   * @param fullCalls how many calls any connection may have open.
   */
  constructor(
    readonly socket: Socket,
    readonly address: string,
    private readonly fullCalls: number,
    private readonly openedAt: number,
    private readonly keeper: Keeper,
  ) {
    this.carrier = socket;
    this.peer = peerOf(socket);
    this.idleAt = openedAt;
  }

  /** Whether it was cut off: then it closes soon. */
  get isCut(): boolean {
    return this.over;
  }

  /** Since when it has had no call; undefined: it has one. */
  get idleSince(): number | undefined {
    return this.calls.size === 0 ? this.idleAt : undefined;
  }

  /** Its peer is listened to from now on. */
  beginReading(): void {
    this.readSince = performance.now();
  }

  /**
   * Its session is about to begin.
   *
   * @param carrier what carries the session: the TLS socket, if there is TLS.
   * @param share how many calls the peer may have open at the same time, as the first settings say.
   */
  willBegin(carrier: Socket, share: number): void {
    this.carrier = carrier;
    this.share = share;
  }

  /** It speaks HTTP/2 from now on. */
  begin(session: ServerHttp2Session): void {
    outliveStreams(session);
    this.session = session;
    this.end = new SessionEnd(session, this.socket, () => this.calls.size === 0);
    this.allowedCalls = this.share;
    session.once('remoteSettings', () => {
      this.ready = true;
    });
  }

  /**
   * A call has arrived. What it costs counts from now on.
   *
   * @returns undefined: it has ended, because the connection was cut off, or takes no more calls.
   */
  callArrived(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): OpenCall | undefined {
    if (this.over) return undefined;
    if (this.end?.begun) {
      stream.close(constants.NGHTTP2_REFUSED_STREAM);
      return undefined;
    }
    const call: OpenCall = {
      stream,
      letEnd: onReceived(stream, (chunk) => {
        this.received(call, chunk);
      }),
      openedAt: performance.now(),
      leaveQueue: undefined,
      bytes: 0,
      messageBytes: 0,
      messages: new MessageCount(),
      maxMessages: this.keeper.takesStream(headers[':path'])
        ? maxMessages.ofStreams
        : maxMessages.usual,
      oversized: false,
      unreadSince: undefined,
      endedAt: undefined,
      answeredAt: undefined,
    };
    this.callsSeen += 1;
    this.calls.add(call);
    this.grow(call, sizeOf(headers));
    stream.once('close', () => {
      call.leaveQueue?.();
      this.callEnded(call);
    });
    return call;
  }

  /**
   * Lets the peer have more calls open at the same time (RFC 9113, section 5.1.2): its share, and one more for each
   * that has been open for long, but never more than any connection may. So streams that stay open do not keep others from
   * beginning.
   *
   * It never lets the peer have fewer: calls that are on their way would be refused.
   *
   * @param share what its share may become: see {@link leastGrowth}.
   */
  allowCalls(share: number): void {
    const { session } = this;
    if (!session || session.destroyed) return;
    const isFull = share === this.fullCalls;
    if (share >= this.share * leastGrowth || (isFull && share > this.share)) this.share = share;
    const allowed = Math.min(this.share + this.longCalls, this.fullCalls);
    if (allowed <= this.allowedCalls) return;
    // Not before the last settings are acknowledged: Node.js ends a connection with too many that are not.
    if (session.pendingSettingsAck) return;
    this.allowedCalls = allowed;
    session.settings({ maxConcurrentStreams: allowed });
  }

  private received(call: OpenCall, chunk: Buffer): void {
    const bytes = chunk.length;
    this.dataBytes += bytes;
    if (bytes < smallFrame) this.smallFrames += 1;
    if (this.smallFrames > smallFrames.atAll + smallFrames.perCall * this.callsSeen) {
      this.cut('small_frames');
      return;
    }
    this.grow(call, bytes);
    call.messageBytes += bytes;
    const { messages } = call;
    messages.add(chunk);
    const exceeds =
      messages.begun > call.maxMessages ||
      messages.compressed > maxMessages.compressed ||
      messages.longestCompressed > maxCompressed;
    if (exceeds || call.messageBytes > wholeRequest) this.oversized(call);
    // The call was refused some time ago, or has sent more than any call needs.
    if (exceeds || call.bytes > maxCallBytes) {
      call.stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    }
  }

  /** A call has turned out to be oversized. */
  private oversized(call: OpenCall): void {
    if (call.oversized) return;
    call.oversized = true;
    const { ofStrangers, ofKnown } = this.oversizedCalls;
    const allowed = this.keeper.isKnown(this) ? ofKnown : ofStrangers;
    if (!allowed.tryRemoveTokens(1)) this.cut('oversized_calls');
  }

  private grow(call: OpenCall, bytes: number): void {
    if (this.over) return;
    call.bytes += bytes;
    this.requestBytes += bytes;
    this.keeper.requestBytesGrown(bytes);
    if (this.requestBytes > maxRequestBytes) this.cut('request_bytes');
  }

  private callEnded(call: OpenCall): void {
    if (this.over) return;
    const now = performance.now();
    this.calls.delete(call);
    this.requestBytes -= call.bytes;
    this.keeper.requestBytesGrown(-call.bytes);
    if (this.calls.size === 0) {
      this.idleAt = now;
      this.end?.check();
    }
    const { rstCode, aborted } = call.stream;
    const wasReset = aborted || rstCode !== constants.NGHTTP2_NO_ERROR;
    const isRapid = wasReset && !call.oversized && now - call.openedAt < rapid;
    if (isRapid) this.resetRapidly();
  }

  /** A call was reset rapidly. */
  private resetRapidly(): void {
    const { usual, ofPunishedStrangers } = this.rapidResets;
    const allowed = this.keeper.isPunishedStranger(this) ? ofPunishedStrangers : usual;
    if (!allowed.tryRemoveTokens(1)) this.cut('rapid_resets');
  }

  /** Checks the limits for which there is no event. To be called several times a second. */
  look(now: number): void {
    if (this.over) return;
    this.lookAtCalls(now);
    this.lookAtRest(now);
    if (!this.ready && now - (this.readSince ?? now) > handshakeTime) this.cut('handshake');
    else if (this.overhead() > this.allowedOverhead(now)) this.cut('overhead');
    else if (this.answerBytes > maxAnswerBytes) this.cut('answer_bytes');
    else this.lookWhetherBroken();
  }

  private lookAtCalls(now: number): void {
    this.answerBytes = 0;
    this.longCalls = 0;
    for (const call of this.calls) {
      const { stream } = call;
      if (now - call.openedAt > longCall) this.longCalls += 1;
      this.answerBytes += stream.writableLength;
      call.unreadSince = stream.writableLength === 0 ? undefined : (call.unreadSince ?? now);
      if (now - (call.unreadSince ?? now) > answerTime) this.cut('answer_unread');
      // Its peer has reset it without an error: Node.js waits until everything is read and written.
      if (stream.closed) call.endedAt ??= now;
      if (now - (call.endedAt ?? now) > endedTime) stream.destroy();
      if (stream.writableFinished) call.answeredAt ??= now;
      // RFC 9113, section 8.1: the answer is complete, and the rest of the request is not wanted.
      if (now - (call.answeredAt ?? now) > halfOpenTime) stream.close(constants.NGHTTP2_NO_ERROR);
    }
  }

  /** When no call is open, no stream tells what waits to be written. The socket does. */
  private lookAtRest(now: number): void {
    const { session, socket } = this;
    const unwritten = this.calls.size === 0 ? (unwrittenBytes(socket) ?? 0) : 0;
    if (!session?.destroyed && unwritten === 0) {
      this.restSince = undefined;
      this.end?.check();
      return;
    }
    this.restSince ??= now;
    this.answerBytes += unwritten;
    const failed = this.end?.failed ?? false;
    // Node.js 20 never ends a TLS connection whose peer closes it right behind GOAWAY.
    const stuck = session?.destroyed === true && unwritten === 0 && !this.carrier.writableEnded;
    // After its last call, a peer gets some time to take the answer, which may be on its way when all is written.
    const nothingComes = failed || stuck || (unwritten === 0 && now - this.idleAt > answerTime);
    if (now - this.restSince <= (nothingComes ? endedTime : answerTime)) return;
    // Not as soon as the session fails: if nghttp2 has ended the session, Node.js 24 would then never free it.
    if (failed || unwritten === 0) socket.destroy();
    else this.cut('answer_unread');
  }

  private overhead(): number {
    return this.socket.bytesRead - this.dataBytes;
  }

  private allowedOverhead(now: number): number {
    const seconds = (now - this.openedAt) / 1_000;
    const { atAll, perCall, perSecond } = overheadBytes;
    return atAll + perCall * this.callsSeen + perSecond * seconds;
  }

  /**
   * When nghttp2 has ended a connection for an error of the peer (a metadata entry over 64 KiB, for
   * example), Node.js 20 leaves it open: nothing is read or written any more, and its other calls hang.
   * It can be recognised because a ping is not even written to it. So a connection that has fallen silent is pinged.
   */
  private lookWhetherBroken(): void {
    const { session, socket } = this;
    const { bytesRead, bytesWritten } = socket;
    const silent = bytesRead === this.bytesAtLook;
    this.bytesAtLook = bytesRead;
    if (!silent || bytesRead === this.bytesChecked) return;
    if (!session || session.destroyed || unwrittenBytes(socket) !== 0) return;
    this.bytesChecked = bytesRead;
    // Below, it is checked whether the ping is written. (Keepalive finds peers that do not answer.) What its answer has
    // does not lead to another ping.
    const pinged = session.ping(() => {
      if (socket.bytesRead - bytesRead <= pingAnswer) this.bytesChecked = socket.bytesRead;
    });
    if (!pinged) return;
    // nghttp2 writes what it has at the end of a turn of the event loop.
    setImmediate(() => {
      setImmediate(() => {
        if (socket.bytesWritten === bytesWritten && unwrittenBytes(socket) === 0) {
          this.cut('protocol_error');
        }
      });
    });
  }

  /** Ends the connection if it does not speak HTTP/2 yet. */
  endUnbegun(): void {
    if (!this.session) this.socket.destroy();
  }

  /**
   * Ends the connection at once, with all its calls.
   *
   * @param options not `punished`: new connections of its address do not have to wait, whatever the reason.
   */
  cut(reason: CutOff, { punished } = { punished: true }): void {
    if (this.over) return;
    this.over = true;
    // Before anything else, so that no other connection is cut off for what this one has cost.
    this.keeper.requestBytesGrown(-this.requestBytes);
    this.requestBytes = 0;
    this.answerBytes = 0;
    for (const call of this.calls) call.leaveQueue?.();
    this.calls.clear();
    const code =
      reason === 'protocol_error'
        ? constants.NGHTTP2_PROTOCOL_ERROR
        : constants.NGHTTP2_ENHANCE_YOUR_CALM;
    stopReading(this.socket);
    this.session?.destroy(new Error(`cut off: ${reason}`), code);
    // The socket as well, behind it: a session that was destroyed before may still wait for its peer.
    setImmediate(() => {
      this.socket.destroy();
    });
    this.keeper.cutOff(this, reason, punished);
  }
}

/** About how many bytes the metadata of a call takes. */
function sizeOf(headers: IncomingHttpHeaders): number {
  let size = 0;
  for (const [name, value] of Object.entries(headers)) {
    size += name.length + (typeof value === 'string' ? value.length : String(value).length);
  }
  return size;
}
