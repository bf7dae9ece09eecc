import type { DatabaseFailure } from '../db/errors';
import type { ClonedRows, SessionKind } from '../model/session';

/** Is told what happens to imports: for metrics. */
export interface ImportObserver {
  /** A call has waited, and its group starts. */
  waited(kind: SessionKind, seconds: number): void;
  /** A group has ended. */
  groupEnded(kind: SessionKind, group: { readonly calls: number; readonly seconds: number }): void;
  /** A transaction is retried after a failure. */
  retried(failure: DatabaseFailure): void;
  /** Refusals could not be recorded, so their callers got another error. */
  refusalsLost(refusals: number): void;
  /** A call has ended, whatever happened before. */
  callEnded(ending: ImportEnding): void;
}

/** How a call to import a session ended. */
export interface ImportEnding {
  /** Undefined if the call ended before its token was verified. */
  readonly kind: SessionKind | undefined;
  /** Undefined if the call ended before its request was read. */
  readonly trusted: boolean | undefined;
  /** `imported`, `validated` or `replayed`; or for a failure, a reason of the error table or a gRPC code. */
  readonly result: string;
  readonly clonedRows: readonly ClonedRows[];
  /** Rows that were cloned for linked sessions. */
  readonly linkedRows: readonly ClonedRows[];
}

/** An observer that does nothing: for a service without metrics. */
export const unobserved: ImportObserver = {
  waited: () => undefined,
  groupEnded: () => undefined,
  retried: () => undefined,
  refusalsLost: () => undefined,
  callEnded: () => undefined,
};
