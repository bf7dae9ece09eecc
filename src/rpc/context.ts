import type { TextDatabase } from '../db/database';
import type { StoredAnswers } from '../import/idempotency';
import type { ImportObserver } from '../import/observer';
import type { ImportQueue } from '../import/queue';
import type { RefusalRecorder } from '../import/refusal-recorder';
import type { SessionReader } from '../store/relations/read';
import type { Logger } from '../telemetry/log';
import type { ShareTokenSigner } from '../token/signer';
import type { Clock, ShareTokenVerifier } from '../token/verifier';
import type { Callers } from './call/callers';
import type { RateLimiter } from './call/rate-limiter';
import type { RunningCalls } from './call/running-calls';

/** What every RPC works with. */
export interface Context {
  readonly callers: Callers;
  readonly rateLimiter: RateLimiter;
  /**
   * Does work on the database for a call that is no import, and does it again as long as its failure is
   * worth it.
   */
  readonly onDatabase: <T>(work: (db: TextDatabase) => Promise<T>) => Promise<T>;
  readonly shareTokens: ShareTokenVerifier;
  /** Undefined: this service makes no share tokens. */
  readonly signer: ShareTokenSigner | undefined;
  readonly clock: Clock;
  readonly storedAnswers: StoredAnswers;
  readonly imports: ImportQueue;
  readonly refusals: RefusalRecorder;
  readonly sessions: SessionReader;
  /** What a session's URL starts with, without a slash at the end. */
  readonly sessionBaseUrl: string;
  readonly running: RunningCalls;
  readonly observer: ImportObserver;
  readonly log: Logger;
}

/** What a log line says of a call: ids and figures, and never a secret or a personal datum. */
export type LogFields = Readonly<Record<string, string | number | boolean>>;

/** What the work of one call is done with. */
export interface CallContext extends Context {
  /** Fires when the caller has cancelled, or the deadline has passed. */
  readonly signal: AbortSignal;
  /** Adds fields to the call's log line. */
  readonly annotate: (fields: LogFields) => void;
  /** What the log and the metrics call it when a call ends with an error: a reason, or a code of gRPC. */
  readonly resultOf: (error: unknown) => string;
}
