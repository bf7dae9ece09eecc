import type { DatabaseFailure } from '../db/errors';
import type { ClonedRows, SessionKind } from '../model/session';

/** Is told what happens to imports: for metrics. */
export interface ImportObserver {
  /** A call has waited, and its group starts. */
  waited(kind: SessionKind, seconds: number): void;
  /** A group has ended. */
  groupEnded(kind: SessionKind, group: { readonly calls: number; readonly seconds: number }): void;
  /** Something that failed on the database is tried again. */
  retried(failure: DatabaseFailure): void;
  /** Refusals could not be recorded, and their callers were not told them. */
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
  /** `imported`, `validated`, `replayed`, or why not: a reason of the error table, or a code of gRPC. */
  readonly result: string;
  readonly clonedRows: readonly ClonedRows[];
  /** Rows cloned for the user sessions that came along with a business session. */
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
