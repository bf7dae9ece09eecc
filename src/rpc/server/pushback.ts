import { Metadata, status, type Deadline, type ServerInterceptingCall } from '@grpc/grpc-js';

/** A status as it is sent. */
export type SentStatus = Parameters<ServerInterceptingCall['sendStatus']>[0];

/**
 * The trailer that tells gRPC's own retries how long to wait, in milliseconds; a negative value: do
 * not retry (gRFC A6).
 */
export const pushbackKey = 'grpc-retry-pushback-ms';

/** The metadata key in which a client says how often it has tried the call before (gRFC A6). */
const previousAttemptsKey = 'grpc-previous-rpc-attempts';

/** The codes after which `proto/service-config.json` lets clients try again. */
export const retryableCodes: ReadonlySet<status> = new Set([
  status.UNAVAILABLE,
  status.ABORTED,
  status.RESOURCE_EXHAUSTED,
]);

/** How the waits grow, in milliseconds: as in the service config. */
const shortestWait = 1_000;
const longestWait = 15_000;
const growth = 3;

/** The largest random part of a wait, as a share of it. */
const jitter = 0.5;

/** What is known of a call when it ends. */
interface EndingCall {
  readonly deadline: Deadline;
  /** The metadata of its request. */
  readonly metadata: Metadata | undefined;
}

/**
 * Tells gRPC's own retries how long to wait, or not to retry.
 *
 * A handler puts the shortest wait into the trailer. A pushback replaces the client's exponential backoff and its
 * jitter (gRFC A6), so both are added here: the wait grows with each try, and a random part of up to half of it
 * is added. Otherwise calls that were refused together would come back together.
 *
 * gRPC is told not to retry in two cases. If the handler gave no wait, the same call can't succeed: grpc-js
 * itself has refused it, because its message is too large, for example. And a wait that ends after the
 * deadline would only hide the reason from the caller.
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
  const grown = Math.max(least, shortestWait) * growth ** previous;
  const wait = Math.max(least, Math.min(grown, longestWait));
  return Math.ceil(wait * (1 + jitter * Math.random()));
}

/** At most 4, whatever the peer says: gRPC makes five tries (gRFC A6). */
function previousAttempts(metadata: Metadata | undefined): number {
  const [value = '0'] = metadata?.get(previousAttemptsKey) ?? [];
  return Math.max(0, Math.min(Number(value) || 0, 4));
}
