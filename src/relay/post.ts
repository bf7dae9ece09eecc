import { errorCode } from '../model/problems';
import { retryAfterOf } from './pauses';

/** The largest part of an answer's body that is read, in bytes, and for how long, in milliseconds. Only the status matters. */
const most = { bytes: 16_384, time: 1_000 };

/** One attempt to deliver a webhook. */
export interface Attempt {
  readonly target: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** How long it may take, in milliseconds. */
  readonly timeout: number;
}

/** What has come of an attempt. */
export type Outcome =
  | { readonly taken: true }
  | {
      readonly taken: false;
      /** What is wrong, without anything of the answer's body or of the URL. */
      readonly why: string;
      /** Whether the receiver wants no more webhooks (410 Gone). */
      readonly gone: boolean;
      /** How long to wait at least, in milliseconds; undefined: it does not say. */
      readonly retryAfter: number | undefined;
    };

/** Posts a webhook once. Redirects are not followed. */
export async function post({ target, headers, body, timeout }: Attempt): Promise<Outcome> {
  const leaving = new AbortController();
  try {
    const response = await fetch(target, {
      method: 'POST',
      headers,
      body,
      redirect: 'manual',
      signal: AbortSignal.any([AbortSignal.timeout(timeout), leaving.signal]),
    });
    await skim(response, leaving);
    return outcomeOf(response);
  } catch (error) {
    const why = whyNotPosted(error as Error, timeout);
    return { taken: false, why, gone: false, retryAfter: undefined };
  }
}

function outcomeOf({ ok, status, headers }: Response): Outcome {
  if (ok) return { taken: true };
  const redirected = status >= 300 && status < 400 ? ', which is not followed' : '';
  return {
    taken: false,
    why: `it answers with HTTP status ${status}${redirected}`,
    gone: status === 410,
    retryAfter: retryAfterOf(headers.get('retry-after')),
  };
}

/**
 * Reads the body of an answer as far as it is small and comes at once, so that the connection can be used again.
 *
 * @param leaving closes the connection.
 */
async function skim({ body }: Response, leaving: AbortController): Promise<void> {
  const late = setTimeout(() => {
    leaving.abort();
  }, most.time);
  let bytes = 0;
  try {
    // Leaving the loop early closes the connection.
    for await (const chunk of (body ?? []) as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      if (bytes > most.bytes) return;
    }
  } catch {
    // The status has come, and is what counts.
  } finally {
    clearTimeout(late);
  }
}

/** fetch itself only says that it has failed: why is in the cause. */
function whyNotPosted(error: Error, timeout: number): string {
  if (error.name === 'TimeoutError') return `no answer within ${timeout / 1_000} seconds`;
  const cause = error.cause instanceof Error ? error.cause : error;
  return errorCode(cause) ?? (cause.message || error.message);
}
