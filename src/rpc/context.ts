import type { Callers } from './call/callers';
import type { Database } from '../db/connection';
import type { ImportQueue } from '../import/queue';
import type { KeptAnswers } from '../import/idempotency';
import type { ImportObserver } from '../import/observer';
import type { Refusals } from '../import/refusals';
import type { SessionReader } from '../store/sessions';
import type { Logger } from '../telemetry/log';
import type { ShareTokenSigner } from '../token/signer';
import type { Clock, ShareTokenVerifier } from '../token/verifier';
import type { RateLimiter } from './call/rate-limiter';
import type { RunningCalls } from './call/running-calls';

/** What every RPC works with. */
export interface Context {
  readonly callers: Callers;
  readonly rateLimiter: RateLimiter;
  /** For everything but imports. */
  readonly db: Database;
  readonly shareTokens: ShareTokenVerifier;
  /** Undefined: this service makes no share tokens. */
  readonly signer: ShareTokenSigner | undefined;
  readonly clock: Clock;
  readonly keptAnswers: KeptAnswers;
  readonly imports: ImportQueue;
  readonly refusals: Refusals;
  readonly sessions: SessionReader;
  /** What a session's URL starts with, without a slash at the end. */
  readonly sessionBaseUrl: string;
  readonly running: RunningCalls;
  readonly observer: ImportObserver;
  readonly log: Logger;
}
