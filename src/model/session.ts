import type { ApiKeyId, ApplicationId, RequestId, SessionId, WorkflowId } from './ids';

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

/** The statuses in which a session is finished, and so may be imported. */
export const finishedStatuses: ReadonlySet<SessionStatus> = new Set<SessionStatus>([
  'Approved',
  'Declined',
  'In Review',
  'Kyc Expired',
]);

/** Who acts for an application: whoever has one of its API keys, or a gateway that is trusted. */
export type Actor =
  | { readonly apiKeyId: ApiKeyId; readonly gateway: null }
  /** By the name in the gateway's certificate that is trusted. */
  | { readonly apiKeyId: null; readonly gateway: string };

/** What lets an import be made: a share token, or another import that takes it along. */
export type Grounds =
  | { readonly token: TokenTrace; readonly linkedTo: null }
  /** By the copy of the business session whose key person the session is of. */
  | { readonly token: null; readonly linkedTo: SessionId };

/** One import of one session: who asks, for what, on which strength. */
export interface ImportRequest {
  readonly kind: SessionKind;
  /** The importing application. */
  readonly applicationId: ApplicationId;
  /** Who asks on its behalf: kept in the ledger. */
  readonly actor: Actor;
  readonly sourceApplicationId: ApplicationId;
  readonly sourceSessionId: SessionId;
  readonly grounds: Grounds;
  readonly workflowId: WorkflowId;
  /**
   * The workflow for the sessions of the key people of a business session, which are imported with it;
   * null: they stay behind.
   */
  readonly linkedWorkflowId: WorkflowId | null;
  /** The importing application's name for the person or company; null: none. */
  readonly vendorData: string | null;
  /** True: the copy keeps the original's status. False: it is In Review. */
  readonly trustReview: boolean;
  /** What makes the request known again; null: it has no id. */
  readonly remembered: RememberedRequest | null;
  /** True: nothing is written. */
  readonly validateOnly: boolean;
}

/** A request that has an id, which its answer is kept under. */
export interface RememberedRequest {
  readonly id: RequestId;
  /** SHA-256 of everything else that the request says. */
  readonly digest: Buffer;
  /** Writes the answer as it is kept. */
  readonly encode: (session: ImportedSession) => Buffer;
}

/** The answer that the same request got before, as it was kept. */
export interface KeptAnswer {
  readonly answer: Buffer;
  /** It is this very call's: an earlier try was committed, and its answer got lost. */
  readonly own: boolean;
}

/** What the ledger keeps of a share token: it identifies the token, and is never the token itself. */
export interface TokenTrace {
  /** SHA-256 of the token's signed part. */
  readonly digest: Buffer;
  /** The `kid` of the key that signed it; null if that key has none. */
  readonly keyId: string | null;
  /** The token's `jti`; null if it has none. */
  readonly id: string | null;
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
  /** Rows cloned, by relation, parents before children. */
  readonly clonedRows: readonly ClonedRows[];
}

/** The copy that a key person of a business session points at. */
export interface LinkedSession extends CopiedSession {
  /** The application had it already: nothing was cloned. */
  readonly importedBefore: boolean;
}

/** A session that an import has made. */
export interface ImportedSession extends CopiedSession {
  /** The copies that its key people point at, in their order. */
  readonly linkedSessions: readonly LinkedSession[];
}

export interface ClonedRows {
  readonly relation: string;
  readonly rows: number;
}
