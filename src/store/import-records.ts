import { fromBinary, type ApplicationId, type SessionId } from '../model/ids';
import type { Actor, SessionKind, SessionStatus } from '../model/session';

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
  } | null;
  /** Who did it; null if that is not the viewer's to know. */
  readonly actor: Actor | null;
  /** What came of it; null if that is not the viewer's to know, or the attempt was refused. */
  readonly copy: {
    readonly sessionId: SessionId;
    readonly sourceStatus: SessionStatus;
    readonly trustReview: boolean;
    /** The copy of the business session that it came along with; null: it came by itself. */
    readonly linkedTo: SessionId | null;
  } | null;
  /** Why it was refused, by the name of its reason; null if it was not. */
  readonly refusedFor: string | null;
}

type Bytes<Column extends string> = Readonly<Record<Column, Buffer>>;

interface ActorRow {
  readonly api_key_id: Buffer | null;
  readonly gateway: string | null;
}

interface TokenRow {
  readonly token_key_id: string | null;
  readonly token_id: string | null;
}

/** A row of the ledger. */
export type ImportRow = Bytes<
  'application_id' | 'source_session_id' | 'source_application_id' | 'session_id'
> &
  ActorRow &
  TokenRow & {
    readonly created_at: Date;
    readonly session_kind: SessionKind;
    readonly source_status: SessionStatus;
    /** 0 or 1. */
    readonly trust_review: number;
    readonly linked_to_session_id: Buffer | null;
  };

/** What is read of a row of the ledger. A session that came along has the token of the one it came with. */
export const importColumns = `application_id, source_session_id, source_application_id, session_id,
  created_at, session_kind, source_status, trust_review, api_key_id, gateway, linked_to_session_id,
  ${ofItsOwnOrLinked('token_key_id')}, ${ofItsOwnOrLinked('token_id')}`;

function ofItsOwnOrLinked(column: string): string {
  return `COALESCE(${column}, (SELECT m.${column} FROM session_imports m
    WHERE m.session_id = session_imports.linked_to_session_id)) AS ${column}`;
}

/** A row of refused attempts. */
export type RefusalRow = Bytes<'application_id'> &
  ActorRow &
  TokenRow & {
    readonly created_at: Date;
    readonly reason: string;
    readonly session_kind: SessionKind | null;
    readonly source_session_id: Buffer | null;
    readonly source_application_id: Buffer | null;
  };

/** What is read of a row of refused attempts. */
export const refusalColumns = `application_id, source_session_id, source_application_id, created_at,
  reason, session_kind, api_key_id, gateway, token_key_id, token_id`;

/**
 * What an application may know of an import: all of it if it made it; if the session was its own, who
 * has it now, and on which token's strength.
 *
 * @returns undefined if the import does not concern the application.
 */
export function importRecord(row: ImportRow, viewer: ApplicationId): ImportRecord | undefined {
  const applicationId = fromBinary<ApplicationId>(row.application_id);
  const sourceApplicationId = fromBinary<ApplicationId>(row.source_application_id);
  const ownImport = applicationId === viewer;
  if (!ownImport && sourceApplicationId !== viewer) return undefined;
  return {
    createdAt: row.created_at,
    applicationId,
    source: {
      kind: row.session_kind,
      sessionId: fromBinary(row.source_session_id),
      applicationId: sourceApplicationId,
      signingKeyId: row.token_key_id,
      shareTokenId: row.token_id,
    },
    actor: ownImport ? actorOf(row) : null,
    copy: ownImport
      ? {
          sessionId: fromBinary(row.session_id),
          sourceStatus: row.source_status,
          trustReview: row.trust_review !== 0,
          linkedTo: row.linked_to_session_id && fromBinary(row.linked_to_session_id),
        }
      : null,
    refusedFor: null,
  };
}

/** What the application that tried may know of a refused attempt: all that is recorded. */
export function refusalRecord(row: RefusalRow): ImportRecord {
  const { session_kind: kind, source_session_id: session, source_application_id: from } = row;
  return {
    createdAt: row.created_at,
    applicationId: fromBinary(row.application_id),
    source:
      kind && session && from
        ? {
            kind,
            sessionId: fromBinary(session),
            applicationId: fromBinary(from),
            signingKeyId: row.token_key_id,
            shareTokenId: row.token_id,
          }
        : null,
    actor: actorOf(row),
    copy: null,
    refusedFor: row.reason,
  };
}

/** Null if neither is there, as in a ledger whose operator has erased it. */
function actorOf({ api_key_id: key, gateway }: ActorRow): Actor | null {
  if (key) return { apiKeyId: fromBinary(key), gateway: null };
  return gateway === null ? null : { apiKeyId: null, gateway };
}
