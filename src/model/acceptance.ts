import type { SessionId } from './ids';
import { kindSchemas } from './relations';
import type { SessionKind, SessionStatus } from './session';

/** Which sessions an application, or one of its workflows, takes. */
export interface AcceptanceRules {
  /** How old the verification may be, in seconds; null: any age. */
  readonly maxAge: number | null;
  /** Whether no document may have expired. */
  readonly documentsUnexpired: boolean;
  /** The statuses of the source session that are taken; null: any. */
  readonly statuses: readonly SessionStatus[] | null;
  /** The names of the relations that must have rows, and of the details (`detailNames`) that must not be empty. */
  readonly relations: readonly string[];
}

/** The rules that every session meets. */
export const noRules: AcceptanceRules = {
  maxAge: null,
  documentsUnexpired: false,
  statuses: null,
  relations: [],
};

/** The longest `max_age`: a hundred years of 365.25 days, in seconds. */
export const longestAge = 3_155_760_000;

/** A rule, by its name in the contract. */
export type AcceptanceRule = 'max_age' | 'documents_unexpired' | 'statuses' | 'relations';

/** A violation of a rule by a session. Its only personal data are the dates that rules are about. */
export interface AcceptanceViolation {
  readonly rule: AcceptanceRule;
  /** The source session that it is about: the call's own, or that of a key person. */
  readonly sessionId: SessionId;
  /** The relation that it is about, and the ordinal of the row; absent: it is about the session itself. */
  readonly relation?: string;
  readonly ordinal?: number;
  readonly found: string;
  readonly wanted: string;
}

/** The rules that a session must meet to meet both sets: the stricter of each pair. */
export function bothRules(a: AcceptanceRules, b: AcceptanceRules): AcceptanceRules {
  const { statuses } = b;
  return {
    maxAge:
      a.maxAge === null || b.maxAge === null
        ? (a.maxAge ?? b.maxAge)
        : Math.min(a.maxAge, b.maxAge),
    documentsUnexpired: a.documentsUnexpired || b.documentsUnexpired,
    statuses:
      a.statuses === null || statuses === null
        ? (a.statuses ?? statuses)
        : a.statuses.filter((status) => statuses.includes(status)),
    relations: [...new Set([...a.relations, ...b.relations])],
  };
}

/** The names of the relations that sessions of the given kinds have. */
export function relationNames(kinds: readonly SessionKind[]): ReadonlySet<string> {
  return new Set(kinds.flatMap((kind) => kindSchemas[kind].relations.map(({ name }) => name)));
}
