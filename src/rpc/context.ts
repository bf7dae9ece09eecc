import type { Callers } from '../auth/callers';
import type { ImportQueue } from '../import/import-queue';
import type { Logger } from '../telemetry/logger';
import type { RunningCalls } from './running-calls';
import type { ShareTokenVerifier } from '../token/verifier';

/** What every RPC works with. */
export interface Context {
  readonly callers: Callers;
  readonly shareTokens: ShareTokenVerifier;
  readonly imports: ImportQueue;
  /** What a session's URL starts with, without a slash at the end. */
  readonly sessionBaseUrl: string;
  readonly running: RunningCalls;
  readonly log: Logger;
}
