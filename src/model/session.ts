import type { Grounds } from './grounds';
import type { ApiKeyId, ApplicationId, SessionId, WorkflowId } from './ids';

/** What a session verifies: a person (KYC) or a company (KYB). */
export type SessionKind = 'user' | 'business';

export const sessionKinds: readonly SessionKind[] = ['user', 'business'];

/** The statuses of a session, as the database spells them. */
export type SessionStatus =
  | 'Not Started'
  | 'In Progress'
  | 'Awaiting User'
  | 'In Review'
  | 'Approved'
  | 'Declined'
  | 'Resubmitted'
  | 'Expired'
  | 'Kyc Expired'
  | 'Abandoned';

/** The statuses in which a session is finished, and so may be shared and imported. */
export const finishedStatuses: ReadonlySet<SessionStatus> = new Set<SessionStatus>([
  'Approved',
  'Declined',
  'In Review',
  'Kyc Expired',
]);

/** Who acts for an application: the holder of one of its API keys, or a trusted gateway. */
export type Actor =
  | { readonly apiKeyId: ApiKeyId; readonly gateway: null }
  /** By the name in the gateway's certificate that is trusted. */
  | { readonly apiKeyId: null; readonly gateway: string };

/** What the ledger keeps of a share token: what identifies it, and its grounds, but never the token itself. */
export interface TokenFingerprint {
  /** SHA-256 of the token's signed part. */
  readonly digest: Buffer;
  /** The `kid` of the key that signed it; null if that key has none. */
  readonly kid: string | null;
  /** The token's `jti`, in the normal form of `normalizeJti`; null if it has none. */
  readonly jti: string | null;
  /** Why the sharing is lawful, as the token says; null: it does not. */
  readonly grounds: Grounds | null;
}

/**
 * The highest number that a session may have: 2^53 - 1. Numbers above it can't all be told apart in JavaScript, in
 * JSON of most readers (RFC 8259, section 6), and in generated clients that read int64 into a number.
 */
export const highestSessionNumber = Number.MAX_SAFE_INTEGER;

/** How many rows of a relation were cloned, or are to be. */
export interface ClonedRows {
  readonly relation: string;
  readonly rows: number;
}

/** A session that is a copy of another application's. */
export interface CopiedSession {
  readonly sessionId: SessionId;
  readonly sessionNumber: number;
  /** The secret part of the session's URL. */
  readonly sessionToken: string;
  readonly kind: SessionKind;
  readonly status: SessionStatus;
  readonly workflowId: WorkflowId;
  readonly vendorData: string | null;
  readonly sourceSessionId: SessionId;
  readonly sourceApplicationId: ApplicationId;
  readonly createdAt: Date;
  /** Rows cloned, by relation, parents before children; without the relations that are withheld. */
  readonly clonedRows: readonly ClonedRows[];
  /** The relations and details that the source application, or one before it, has not shared. */
  readonly withheld: readonly string[];
}

/**
 * A copy that an application has already: the part of it that an import may tell. Its key can lack the
 * privilege to read sessions.
 */
export interface ExistingCopy {
  readonly sessionId: SessionId;
  readonly sourceSessionId: SessionId;
  readonly sourceApplicationId: ApplicationId;
}

/** The copy that a key person of a business session points at. */
export type LinkedSession =
  | ({ readonly importedBefore: false } & CopiedSession)
  /** The application had it already: nothing was cloned. */
  | ({ readonly importedBefore: true } & ExistingCopy);

/** A session that an import has made. */
export interface ImportedSession extends CopiedSession {
  /** The copies that its key people point at, in their order. */
  readonly linkedSessions: readonly LinkedSession[];
}
