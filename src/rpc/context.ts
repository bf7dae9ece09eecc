import type { EventHub } from '../events/hub';
import type { StoredAnswers } from '../import/idempotency';
import type { ImportObserver } from '../import/observer';
import type { ImportQueue } from '../import/queue';
import type { RefusalRecorder } from '../import/refusal-recorder';
import type { SessionReader } from '../store/relations/read';
import type { Logger } from '../telemetry/log';
import type { ShareTokenSigner } from '../token/signer';
import type { Clock, ShareTokenVerifier } from '../token/verifier';
import type { CallerMix } from '../turns/caller-mix';
import type { Callers } from './call/callers';
import type { KnownPeers } from './call/known-peers';
import type { CallLines, OnDatabase } from './call/lines';
import type { OpenReads } from './call/open-reads';
import type { RateLimiter } from './call/rate-limiter';
import type { RunningCalls } from './call/running-calls';
import type { Watches } from './events/watches';

/** What every RPC needs; shared by all calls. */
export interface Context {
  readonly callers: Callers;
  readonly known: KnownPeers;
  readonly rateLimiter: RateLimiter;
  /** Of the calls of all kinds. */
  readonly mix: CallerMix;
  readonly openReads: OpenReads;
  readonly lines: CallLines;
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
  /** Whether sharing and importing need an active connection. */
  readonly requireConnections: boolean;
  readonly events: EventHub;
  readonly watches: Watches;
  readonly running: RunningCalls;
  readonly observer: ImportObserver;
  readonly log: Logger;
}

/** The fields of a call's log line: ids and numbers, and never a secret or personal data. */
export type LogFields = Readonly<Record<string, string | number | boolean>>;

/** What one call needs: the shared context, and its own signal and log line. */
export interface CallContext extends Context {
  /** Fires when the caller has cancelled, or the deadline has passed. */
  readonly signal: AbortSignal;
  /** Adds fields to the call's log line. */
  readonly annotate: (fields: LogFields) => void;
  /** The result of a failed call for logs and metrics: an error reason, or a gRPC code. */
  readonly resultOf: (error: unknown) => string;
}

/** What the handler of a method needs, once its caller is known. */
export interface HandlerContext extends CallContext {
  /**
   * Runs work on the database, in the line of the method, when it is the caller's turn.
   *
   * @throws ServiceError with OVERLOADED if too much work waits already.
   * @throws CallAbandoned if the call was given up before the work began.
   */
  readonly onDatabase: OnDatabase;
}
