import type { ImportSessionRequest } from '../../src/gen/sessionimport/v1/session_import';

/** The kinds of calls that the victim makes. */
export const callKinds = ['imports', 'linked', 'reads', 'revocations', 'refusals'] as const;
export type CallKind = (typeof callKinds)[number];

/** A call that the victim is to make. */
export type PlannedCall =
  /** An import of a session, or of a company with the sessions of its key people. */
  | { readonly kind: 'imports' | 'linked'; readonly request: ImportSessionRequest }
  | {
      readonly kind: 'reads';
      readonly method: 'GetSession' | 'ListSessionRows';
      readonly id: string;
    }
  | { readonly kind: 'reads'; readonly method: 'ListSessions' | 'ListImports' }
  | { readonly kind: 'revocations'; readonly shareTokenId: string }
  /** An import that must be refused, and be on record by the id of its token. */
  | {
      readonly kind: 'refusals';
      readonly request: ImportSessionRequest;
      readonly shareTokenId: string;
    };

/** What the victim is to do. */
export interface VictimJob {
  readonly address: string;
  readonly apiKey: string;
  /** Imports to warm up compilers and caches: made by eight callers as fast as they can, and not measured. */
  readonly warmUp: readonly PlannedCall[];
  readonly calls: Readonly<Record<CallKind, readonly PlannedCall[]>>;
  readonly perSecond: Readonly<Record<CallKind, number>>;
  /** How long the victim waits for an answer, in seconds. */
  readonly patience: number;
}

/** What became of the calls of one kind. */
export interface Became {
  /** The latency of each call, in milliseconds from the moment at which it was due. */
  readonly latencies: readonly number[];
  /** Why calls failed that should have succeeded: a reason for each. */
  readonly failures: readonly string[];
  /** What must be in the database now, for each call that was answered as it should be. */
  readonly evidence: readonly string[];
}

export type VictimReport =
  | { readonly type: 'ready' }
  | { readonly type: 'done'; readonly became: Readonly<Record<CallKind, Became>> }
  | { readonly type: 'failed'; readonly error: string };

/** Makes a record with a value for each kind of call. */
export function eachKind<Value>(make: (kind: CallKind) => Value): Record<CallKind, Value> {
  return Object.fromEntries(callKinds.map((kind) => [kind, make(kind)])) as Record<CallKind, Value>;
}
