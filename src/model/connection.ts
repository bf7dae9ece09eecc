import type { ApplicationId, ConnectionId } from './ids';
import type { SessionKind } from './session';

/** The two sides of a connection. */
export interface ConnectedPair {
  /** The application that shares. */
  readonly sourceApplicationId: ApplicationId;
  /** The application that imports. */
  readonly recipientApplicationId: ApplicationId;
}

/** On what terms an application may share sessions with another one. */
export interface ConnectionTerms {
  /** The kinds of sessions; at least one. */
  readonly kinds: readonly SessionKind[];
  /** Whether the sessions behind key people may be shared and imported with a business session. */
  readonly linkedSessions: boolean;
  /** Whether an import may keep the original's status. */
  readonly trustReview: boolean;
  /** The longest time for which a share token may be valid, in seconds; null: as long as any token. */
  readonly longestTtl: number | null;
  /** The only relations that may be shared; null: all of them. */
  readonly relations: readonly string[] | null;
  /** Whether each share must say its grounds. */
  readonly groundsRequired: boolean;
  /** Where the agreement is kept: a code of the two applications; null: not said. */
  readonly agreement: string | null;
  /** From this moment on, nothing may be shared or imported; null: there is no such moment. In whole seconds. */
  readonly certifiedUntil: Date | null;
}

/** A connection that holds. */
export interface ActiveConnection {
  readonly id: ConnectionId;
  readonly terms: ConnectionTerms;
}

/** A term, by its name in the contract, in the order in which terms are judged. */
export type ConnectionTerm =
  | 'session_kinds'
  | 'linked_sessions'
  | 'trust_review'
  | 'longest_ttl'
  | 'relations'
  | 'grounds_required';

/** What a share or an import asks of a connection. */
export interface AskedTerms {
  readonly kind: SessionKind;
  readonly linkedSessions: boolean;
  readonly trustReview: boolean;
  /** How long the share token is valid in all, in seconds. */
  readonly ttl: number;
  /** The relations that are shared; null: all of them. */
  readonly relations: readonly string[] | null;
  /** Whether the grounds of the share are said. */
  readonly grounds: boolean;
}
