import { Metadata, status, type Deadline, type ServerInterceptingCall } from '@grpc/grpc-js';

/** A status as it is sent. */
export type SentStatus = Parameters<ServerInterceptingCall['sendStatus']>[0];

/**
 * The trailer that tells gRPC's own retries how long to wait, in milliseconds; a negative value: do
 * not retry (gRFC A6).
 */
export const pushbackKey = 'grpc-retry-pushback-ms';

/** How often gRPC has tried a call before, as it says itself (gRFC A6). */
const previousAttemptsKey = 'grpc-previous-rpc-attempts';

/** The codes that `proto/service-config.json` has clients try again. */
export const retryableCodes: ReadonlySet<status> = new Set([
  status.UNAVAILABLE,
  status.ABORTED,
  status.RESOURCE_EXHAUSTED,
]);

/** The bounds of the wait before the second try, and before any other, in milliseconds: those of the service config. */
const shortestWait = 500;
const longestWait = 5_000;

/** What is known of a call when it ends. */
interface EndingCall {
  readonly deadline: Deadline;
  /** The metadata that it came with. */
  readonly metadata: Metadata | undefined;
}

/**
 * Tells gRPC's own retries when to come back, or not to.
 *
 * A handler puts the least wait into the trailer. A pushback takes the place of the client's
 * exponential backoff and of its jitter (gRFC A6), so both are made here: the wait doubles with each
 * try, and a random part of it is added, up to the whole. Otherwise all that were refused in one
 * moment would come back in one moment.
 *
 * Without a wait from the handler, the same call can't succeed: grpc-js itself refuses a message that
 * is too large. A wait that ends after the deadline would only hide the reason from the caller.
 * In both cases gRPC is told not to retry.
 */
export function withPushback(sent: SentStatus, call: EndingCall): SentStatus {
  if (!retryableCodes.has(sent.code)) return sent;
  const metadata = sent.metadata?.clone() ?? new Metadata();
  const [least] = metadata.get(pushbackKey);
  const wait = least === undefined ? -1 : waitOf(Number(least), previousAttempts(call.metadata));
  const inTime = Date.now() + wait < Number(call.deadline);
  metadata.set(pushbackKey, String(inTime ? wait : -1));
  return { ...sent, metadata };
}

function waitOf(least: number, previous: number): number {
  const grown = Math.max(least, shortestWait) * 2 ** previous;
  const wait = Math.max(least, Math.min(grown, longestWait));
  return Math.ceil(wait * (1 + Math.random()));
}

/** A peer may say anything here; of five tries, which is all that gRPC makes (gRFC A6), four are previous. */
function previousAttempts(metadata: Metadata | undefined): number {
  const [value = '0'] = metadata?.get(previousAttemptsKey) ?? [];
  return Math.max(0, Math.min(Number(value) || 0, 4));
}
