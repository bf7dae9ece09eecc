import { allGiven, ifGiven, sql, type Statement } from '../db/query';
import { toBinary, type ApplicationId, type ConnectionId, type SessionId } from '../model/ids';
import type { AcceptanceRules } from '../model/acceptance';
import type { Grounds } from '../model/grounds';
import type { Scope } from '../model/scope';
import type { Actor, SessionKind, SessionStatus } from '../model/session';
import type { GroundsRow } from './grounds-columns';
import type { ScopeRow } from './scope-column';

/** An attempt to import, as far as an application may know of it. */
export interface ImportRecord {
  readonly createdAt: Date;
  /** The application that imported, or tried to. */
  readonly applicationId: ApplicationId;
  /** What was to be imported; null if a refused attempt had no genuine token. */
  readonly source: {
    readonly kind: SessionKind;
    readonly sessionId: SessionId;
    readonly applicationId: ApplicationId;
    /** The `kid` of the key that signed the share token; null if that key has none. */
    readonly signingKeyId: string | null;
    /** The share token's `jti`; null if it has none. */
    readonly shareTokenId: string | null;
    /** Why the sharing was lawful, as the share token said; null: it did not. */
    readonly grounds: Grounds | null;
    /** What the copy got of it; of a refused attempt, what the share token shares. */
    readonly scope: Scope;
  } | null;
  /** The connection that it rested on, or whose terms it exceeded; null: neither. */
  readonly connectionId: ConnectionId | null;
  /** Who did it; null if the viewer may not know. */
  readonly actor: Actor | null;
  /** The copy; null if the viewer may not know it, or if the attempt was refused. */
  readonly copy: {
    readonly sessionId: SessionId;
    readonly sourceStatus: SessionStatus;
    readonly trustReview: boolean;
    /** When the original was verified; null: nobody knows. */
    readonly verifiedAt: Date | null;
    /** The copy of the business session that it is linked to; null: it was imported alone. */
    readonly linkedTo: SessionId | null;
  } | null;
  /** The rules by which the source session was judged; null if there were none, or if the viewer may not know. */
  readonly acceptance: AcceptanceRules | null;
  /** Why it was refused, by the name of its reason; null if it was not. */
  readonly refusedFor: string | null;
  /** Whether a refused attempt was a preview. */
  readonly preview: boolean;
}

/** The columns with what is kept of a share token, and with what is shared. */
export interface TokenRow extends GroundsRow, ScopeRow {
  readonly token_key_id: string | null;
  readonly token_id: string | null;
}

/** Which attempts are wanted; an undefined filter does not apply. */
export interface ImportFilter {
  readonly kind: SessionKind | undefined;
  /** The application on the other side. */
  readonly otherApplicationId: ApplicationId | undefined;
  /** Only attempts at this time or later. */
  readonly since: Date | undefined;
  /** Only attempts before this time. */
  readonly until: Date | undefined;
}

/** The SQL condition on the time, for a table with the alias `s`. */
export function withinTime({ since, until }: ImportFilter): Statement | undefined {
  return allGiven(
    ifGiven(since, (moment) => sql('s.created_at >= ?', moment)),
    ifGiven(until, (moment) => sql('s.created_at < ?', moment)),
  );
}

/**
 * The SQL condition on everything else that a filter names, for a table with the alias `s`.
 *
 * @param otherApplication the column of the application on the other side.
 */
export function chosenBy(
  { kind, otherApplicationId }: ImportFilter,
  otherApplication: 'application_id' | 'source_application_id',
): Statement | undefined {
  return allGiven(
    ifGiven(kind, (value) => sql('s.session_kind = ?', value)),
    ifGiven(otherApplicationId, (id) => sql(`s.${otherApplication} = ?`, toBinary(id))),
  );
}
