import type { ImportSessionRequest } from '../../src/gen/sessionimport/v1/session_import';

/** The kinds of calls that the victim makes. */
export const callKinds = ['imports', 'linked', 'reads', 'revocations', 'refusals'] as const;
export type CallKind = (typeof callKinds)[number];

/** A call that the victim is to make. */
export type PlannedCall =
  /** Of a session, or of a company with the sessions of its key people. */
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
  /** Made as fast as eight callers can, and not measured: compilers and caches get ready. */
  readonly warmUp: readonly PlannedCall[];
  readonly calls: Readonly<Record<CallKind, readonly PlannedCall[]>>;
  readonly perSecond: Readonly<Record<CallKind, number>>;
  /** How long the victim waits for an answer, in seconds. */
  readonly patience: number;
}

/** What became of the calls of one kind. */
export interface Became {
  /** Of each call, in milliseconds from the moment at which it was meant to begin. */
  readonly latencies: readonly number[];
  /** Of each call that should not have failed: why it did. */
  readonly failures: readonly string[];
  /** Of each call that was answered as it should be, what must be in the database now. */
  readonly evidence: readonly string[];
}

export type VictimReport =
  | { readonly type: 'ready' }
  | { readonly type: 'done'; readonly became: Readonly<Record<CallKind, Became>> }
  | { readonly type: 'failed'; readonly error: string };

/** Makes something of every kind of calls. */
export function eachKind<Value>(make: (kind: CallKind) => Value): Record<CallKind, Value> {
  return Object.fromEntries(callKinds.map((kind) => [kind, make(kind)])) as Record<CallKind, Value>;
}
