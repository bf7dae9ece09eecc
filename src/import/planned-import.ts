import type { TransactionOf, MultiDatabase } from '../db/database';
import {
  newId,
  type ConnectionId,
  type SessionId,
  type ShareTokenId,
  type VendorEntityId,
} from '../model/ids';
import type { AcceptanceRules } from '../model/acceptance';
import type { Scope } from '../model/scope';
import type { ExistingCopy, ImportedSession } from '../model/session';
import { newSessionToken } from '../model/session-token';
import type { Workflow } from '../store/accounts';
import { ledgerKey, type LedgerKey } from '../store/ledger/entries';
import type { RowCounts } from '../store/relations/count';
import type { LockedSession } from '../store/sessions/lock';
import type { ImportRequest } from './request';

/**
 * The most linked sessions of one import. They are copied in one transaction, and the answer has about 600
 * bytes for each; clients accept 4 MiB.
 */
export const maxLinkedSessions = 500;

/** The transaction that a group runs in. */
export type Transaction = TransactionOf<MultiDatabase>;

/**
 * A call with everything about its copy that is decided before the first try. The new ids stay the
 * same from try to try. So a try that finds its own claim in the ledger knows that an earlier try
 * was committed, although the connection was lost before the answer came.
 */
export interface PlannedImport {
  readonly request: ImportRequest;
  readonly sessionId: SessionId;
  /** If the database refuses the number, the next try has another one. */
  sessionNumber: number;
  readonly sessionToken: string;
  /** The id of the vendor entity, if it has to be created. */
  readonly vendorEntityId: VendorEntityId;
  readonly createdAt: Date;
  /**
   * The imports of linked sessions, by source session. Planned when a try first finds the session.
   */
  readonly linkedPlans: Map<SessionId, PlannedImport>;
  /**
   * What was made by the newest try that reached COMMIT; undefined if none did. It is not known whether that
   * try was committed. If any try was, it was this one: a later try can claim the session only after the
   * earlier ones were rolled back.
   */
  possiblyCommitted: ImportedSession | undefined;
}

/** The source session of a call, as far as it is shared: nobody changes it until the transaction ends. */
export interface Source extends LockedSession {
  /** What the copy gets of it. */
  readonly scope: Scope;
  readonly rows: RowCounts;
}

/** A call that has passed every check, with what the database said about it. */
export interface AdmittedImport extends PlannedImport {
  readonly source: Source;
  readonly workflow: Workflow;
  /** The rules for acceptance that the source has met. */
  readonly rules: AcceptanceRules;
  /** The connection that it rests on; null: it needs none. */
  readonly connectionId: ConnectionId | null;
  /** The recorded share token that it redeems; null: the token was signed elsewhere, or this is a linked session. */
  readonly redeems: ShareTokenId | null;
  /** The linked sessions: those of its key people that are imported with it. */
  readonly linked: readonly LinkedImport[];
}

/** A session of a key person that is imported with the call's session. */
export type LinkedImport =
  | { readonly type: 'to copy'; readonly call: AdmittedImport }
  /** The application already has a copy, and this copy is used. */
  | { readonly type: 'imported before'; readonly copy: ExistingCopy };

/** The linked sessions of a call that are to be copied. */
export function linkedCopies({ linked }: AdmittedImport): readonly AdmittedImport[] {
  return linked.flatMap((one) => (one.type === 'to copy' ? [one.call] : []));
}

/** The number of a session that is only validated, so that no real number is used up. */
export const noNumber = 0;

/**
 * Decides everything about the copy that does not depend on its source session.
 *
 * @param createdAt the time of the import: the copy's `created_at`, and the time at which its source must meet the
 * rules for acceptance.
 */
export function planImport(
  request: ImportRequest,
  sessionNumber: number,
  createdAt: Date,
): PlannedImport {
  return {
    request,
    sessionId: newId(),
    sessionNumber,
    sessionToken: newSessionToken(),
    vendorEntityId: newId(),
    createdAt,
    linkedPlans: new Map(),
    possiblyCommitted: undefined,
  };
}

/** The ledger key of a call's import. */
export function keyOf({ request }: Pick<PlannedImport, 'request'>): LedgerKey {
  return ledgerKey(request);
}
