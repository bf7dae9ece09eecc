/** The orders for an attacking process. They are plain data, because they go to another process. */
export type Attack = CallFlood | StreamFlood | FrameFlood | Computing;

/** The method that an attack calls, and as whom. */
export interface Target {
  /** `/package.Service/Method`. */
  readonly path: string;
  /** The headers of every call besides those that gRPC needs: mostly an API key. */
  readonly headers: Readonly<Record<string, string>>;
  readonly connections: number;
}

/** Calls that are made again as soon as they have been answered. */
export interface CallFlood extends Target {
  readonly type: 'calls';
  /** Requests as they go over the wire. They are sent in turn, over and over. */
  readonly messages: readonly Uint8Array[];
  /** Calls that run at the same time on each connection. */
  readonly concurrent: number;
  /** After how many milliseconds a call is cancelled; undefined: it is not. */
  readonly cancelAfter?: number;
  /** Whether each call sends a new API key that nobody has. */
  readonly madeUpKeys?: boolean;
}

/** Calls whose answers are never read. */
export interface StreamFlood extends Target {
  readonly type: 'streams';
  readonly message: Uint8Array;
  /** Whether a call sends its message again and again, and never ends its request. */
  readonly endless: boolean;
  /** Calls that are open at the same time on each connection. */
  readonly concurrent: number;
}

/** Frames of HTTP/2 that no usual client sends. */
export type FrameFlood = RapidReset | OneByteFrames;

/** Streams that are opened and reset at once. */
export interface RapidReset extends Target {
  readonly type: 'rapid reset';
}

/** Requests that are sent in DATA frames of one byte. */
export interface OneByteFrames extends Target {
  readonly type: 'one-byte frames';
  readonly message: Uint8Array;
}

/** No attack: a process that wants the processor, as attackers do, and leaves the service alone. */
export interface Computing {
  readonly type: 'computing';
}

/** What an attack came to: how often each status came, or what happened instead. */
export type Tally = Record<string, number>;

/** How an attack tells what goes on. */
export interface Teller {
  /** Counts something that has happened. */
  count(what: string): void;
  /** Says that a connection is there, with all its first calls. */
  connected(): void;
}

/** A message on the wire: whether it is compressed, its length, its bytes (gRPC over HTTP/2). */
export function framed(message: Uint8Array, compressed = false): Buffer {
  const prefix = Buffer.alloc(prefixLength);
  prefix.writeUInt8(Number(compressed), 0);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

const prefixLength = 5;
