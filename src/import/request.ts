import {
  isUuid,
  toId,
  type ApplicationId,
  type RequestId,
  type SessionId,
  type ShareTokenId,
  type WorkflowId,
} from '../model/ids';
import type { AcceptanceRules } from '../model/acceptance';
import type { AskedTerms, ConnectedPair } from '../model/connection';
import type { Scope } from '../model/scope';
import type { Actor, ImportedSession, SessionKind, TokenFingerprint } from '../model/session';

/** What permits an import: a share token, or the import of a business session with linked sessions. */
export type Permit =
  | { readonly token: TokenFingerprint; readonly linkedTo: null }
  /** The copy of the business session: one of its key people has this session. */
  | { readonly token: null; readonly linkedTo: SessionId };

/** A request to import one session: who asks, for which session, and what permits it. */
export interface ImportRequest {
  readonly kind: SessionKind;
  /** The importing application. */
  readonly applicationId: ApplicationId;
  /** Who asks on its behalf: kept in the ledger. */
  readonly actor: Actor;
  readonly sourceApplicationId: ApplicationId;
  readonly sourceSessionId: SessionId;
  readonly permit: Permit;
  /** What is shared of the session. If it is a copy, it can have less. */
  readonly scope: Scope;
  readonly workflowId: WorkflowId;
  /**
   * The workflow for linked sessions, those of the key people of a business session; null: they are not
   * imported.
   */
  readonly linkedWorkflowId: WorkflowId | null;
  /** The importing application's name for the person or company; null: none. */
  readonly vendorData: string | null;
  /** True: the copy keeps the original's status. False: it is In Review. */
  readonly trustReview: boolean;
  /** The idempotency key, and how to store the answer; null: the request has no key. */
  readonly idempotency: Idempotency | null;
  /** The rules that the sessions to be copied must meet, besides those of their workflows. */
  readonly acceptance: AcceptanceRules;
  /** What it asks of the connection of the two applications; null: it needs no connection. */
  readonly asked: AskedTerms | null;
  /** True: nothing is written. */
  readonly validateOnly: boolean;
}

/** What identifies a repeated request. */
export interface IdempotentRequest {
  readonly id: RequestId;
  /** SHA-256 of everything else that the request says. */
  readonly digest: Buffer;
}

/** An idempotency key, and how the answer that is stored with it is encoded. */
export interface Idempotency extends IdempotentRequest {
  readonly encode: (session: ImportedSession) => Buffer;
}

/** The result of an import call that succeeded. */
export type ImportResult =
  | { readonly type: 'imported'; readonly session: ImportedSession }
  /** Nothing was done: this is what an import would have made. */
  | { readonly type: 'validated'; readonly session: ImportedSession }
  /** Nothing was done: the same request was carried out before, and this was its answer. */
  | { readonly type: 'replayed'; readonly answer: Buffer };

/** The id under which a call's token is recorded, if this service has made it. */
export function shareTokenIdOf({ permit }: ImportRequest): ShareTokenId | undefined {
  const jti = permit.token?.jti ?? null;
  return jti !== null && isUuid(jti) ? toId(jti) : undefined;
}

/** The two applications of an import. */
export function pairOf({ sourceApplicationId, applicationId }: ImportRequest): ConnectedPair {
  return { sourceApplicationId, recipientApplicationId: applicationId };
}
