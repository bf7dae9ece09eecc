import { v7 } from 'uuid';

/**
 * A UUID in its canonical text form (lower case, with hyphens), marked with what it identifies, so
 * that the id of one thing cannot be passed for that of another.
 *
 * Text order equals the byte order of the stored form, which is what "in key order" means wherever
 * rows are locked.
 */
export type Id<Of extends string> = string & { readonly __identifies: Of };

export type ApplicationId = Id<'application'>;
export type ApiKeyId = Id<'api key'>;
export type WorkflowId = Id<'workflow'>;
export type VendorEntityId = Id<'vendor entity'>;
export type SessionId = Id<'session'>;
/** The id that a caller gives a request: its idempotency key. */
export type RequestId = Id<'request'>;
export type ShareTokenId = Id<'share token'>;
export type ConnectionId = Id<'connection'>;
export type EventId = Id<'event'>;
export type WithdrawalId = Id<'withdrawal'>;

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Whether a text is a UUID of any version, in either case (RFC 9562, section 4). */
export function isUuid(text: string): boolean {
  return uuidPattern.test(text);
}

/**
 * Reads a UUID that came from outside.
 *
 * @throws RangeError if the text is not a UUID; check with {@link isUuid} first where a person is to
 * be told.
 */
export function toId<T extends Id<string>>(text: string): T {
  if (!isUuid(text)) throw new RangeError('not a UUID');
  return text.toLowerCase() as T;
}

/**
 * Makes a fresh id: a UUID of version 7 (RFC 9562, section 5.7), which grows with time, so that new
 * rows land at the end of the clustered index.
 */
export function newId<T extends Id<string>>(): T {
  return v7() as T;
}

/** The id that begins with a moment and has zeros after it. Ids made before that moment are below it. */
export function firstIdOf<T extends Id<string>>(moment: Date): T {
  return withHyphens(moment.getTime().toString(16).padStart(12, '0').padEnd(32, '0')) as T;
}

/** The 16 bytes that stand for an id in a `BINARY(16)` column. */
export function toBinary(id: Id<string>): Buffer {
  // Twice as fast as to replace the hyphens.
  const digits =
    id.slice(0, 8) + id.slice(9, 13) + id.slice(14, 18) + id.slice(19, 23) + id.slice(24);
  return Buffer.from(digits, 'hex');
}

/** The id that a `BINARY(16)` column holds. */
export function fromBinary<T extends Id<string>>(bytes: Buffer): T {
  return withHyphens(bytes.toString('hex')) as T;
}

const undashedPattern = /^[0-9a-f]{32}$/i;

/**
 * The normal form of a name that may be a UUID, such as a token's `jti`: a UUID is written in lower
 * case with hyphens, whether or not it came so. Any other text stays as it is.
 */
export function normalizeJti(text: string): string {
  if (undashedPattern.test(text)) return withHyphens(text.toLowerCase());
  return isUuid(text) ? text.toLowerCase() : text;
}

function withHyphens(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
