import type { Callers } from '../auth/callers';
import type { Database } from '../db/connection';
import type { ImportQueue } from '../import/import-queue';
import type { KeptAnswers } from '../import/kept-answers';
import type { ImportObserver } from '../import/observer';
import type { Refusals } from '../provenance/refusals';
import type { SessionReader } from '../reading/sessions';
import type { Logger } from '../telemetry/logger';
import type { ShareTokenSigner } from '../token/signer';
import type { Clock, ShareTokenVerifier } from '../token/verifier';
import type { RateLimiter } from './rate-limiter';
import type { RunningCalls } from './running-calls';

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
