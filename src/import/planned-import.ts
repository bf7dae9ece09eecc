import { randomBytes } from 'node:crypto';
import type { Knex } from 'knex';
import { newId, type SessionId, type VendorEntityId } from '../model/ids';
import type { Source, Workflow } from './facts';
import type { CopiedSession, ImportRequest } from '../model/session';

/** The transaction that a group runs in. */
export type Transaction = Knex.Transaction;

/**
 * A call on its way, with everything about the copy that is decided before the first try. Since the
 * new ids stay the same from try to try, a try that finds its own claim in the ledger knows that an
 * earlier one was committed, although the connection was lost before the answer came.
 */
export interface PlannedImport {
  readonly request: ImportRequest;
  readonly sessionId: SessionId;
  readonly sessionNumber: number;
  readonly sessionToken: string;
  /** The id of the vendor entity, should it have to be made. */
  readonly vendorEntityId: VendorEntityId;
  readonly createdAt: Date;
  /** The imports of linked sessions, by what they copy: decided when a try first meets the session. */
  readonly linkedPlans: Map<SessionId, PlannedImport>;
  /** An earlier try reached COMMIT, and how that ended is not known. */
  mayBeCommitted: boolean;
}

/** A call that nothing speaks against, with what the database said about it. */
export interface AdmittedImport extends PlannedImport {
  readonly source: Source;
  readonly workflow: Workflow;
  /** The sessions of key people that it takes along. */
  readonly linked: readonly LinkedImport[];
}

/** The session of a key person, which a call takes along. */
export type LinkedImport =
  | { readonly type: 'to copy'; readonly call: AdmittedImport }
  /** The application has a copy already, and that one is taken. */
  | { readonly type: 'imported before'; readonly copy: CopiedSession };

/** What a session that is not made has for a number: none is used up for it. */
export const noNumber = 0;

/** The unguessable part of a session's URL: 256 random bits. */
const sessionTokenBytes = 32;

/** Makes a session token. */
export function newSessionToken(): string {
  return randomBytes(sessionTokenBytes).toString('base64url');
}

/** Decides everything about the copy that does not depend on the session it is made of. */
export function planImport(request: ImportRequest, sessionNumber: number): PlannedImport {
  return {
    request,
    sessionId: newId(),
    sessionNumber,
    sessionToken: newSessionToken(),
    vendorEntityId: newId(),
    createdAt: new Date(),
    linkedPlans: new Map(),
    mayBeCommitted: false,
  };
}

/** Sorts by a key, so that every transaction locks rows of one index in the same order. */
export function inKeyOrder<T>(items: readonly T[], keyOf: (item: T) => string): T[] {
  return items
    .map((item) => ({ key: keyOf(item), item }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ item }) => item);
}
