import {
  bothRules,
  relationNames,
  type AcceptanceRules,
  type AcceptanceViolation,
} from '../model/acceptance';
import type { SessionId } from '../model/ids';
import type { Problem } from '../model/problems';
import { isDetail, withheldBy } from '../model/scope';
import { sessionKinds, type SessionKind } from '../model/session';
import type { Workflow } from '../store/accounts';
import type { ExpiredDocuments } from '../store/relations/expired-documents';
import type { PlannedImport, Source } from './planned-import';
import type { ImportRequest } from './request';
import type { FilledDetails } from './required-details';

/** The violations of the rules by one session, or by several. */
export interface Violations {
  readonly named: readonly AcceptanceViolation[];
  /** How many there are, including those that are not named. */
  readonly count: number;
}

/** The rules for the session of a request: those of the request, and those of the workflow of the copy. */
export function rulesFor({ acceptance }: ImportRequest, workflow: Workflow): AcceptanceRules {
  return bothRules(acceptance, workflow.acceptance);
}

/** The day on which documents must be valid: the day of the copy's `created_at`, in UTC, as YYYY-MM-DD. */
export function dayOf({ createdAt }: Pick<PlannedImport, 'createdAt'>): string {
  return createdAt.toISOString().slice(0, 10);
}

/**
 * Checks whether a source session meets the rules at the copy's `created_at`.
 *
 * @param source locked, so that what is found here is what is copied.
 * @param expired the source's expired documents on the day of {@link dayOf}; undefined: there are none, or they were
 * not read because no rule is about them.
 * @param details the sessions that have the details which the rules require.
 */
export function judgeSession(
  { request, createdAt }: Pick<PlannedImport, 'request' | 'createdAt'>,
  source: Source,
  rules: AcceptanceRules,
  expired: ExpiredDocuments | undefined,
  details: FilledDetails,
): Violations {
  const sessionId = request.sourceSessionId;
  const named = [
    ...ageViolations(sessionId, source, rules, createdAt),
    ...statusViolations(sessionId, source, rules),
    ...relationViolations(request, source, rules, details),
  ];
  const documents = rules.documentsUnexpired ? expired : undefined;
  if (!documents) return { named, count: named.length };
  const today = dayOf({ createdAt });
  const violations = documents.named.map(({ relation, ordinal, lastDay }): AcceptanceViolation => ({
    ...{ rule: 'documents_unexpired', sessionId, relation, ordinal },
    found: `valid through ${lastDay}`,
    wanted: `${today} (UTC) or later`,
  }));
  return { named: [...named, ...violations], count: named.length + documents.count };
}

/** The violations of several sessions. */
export function allViolations(parts: readonly Violations[]): Violations {
  return {
    named: parts.flatMap(({ named }) => named),
    count: parts.reduce((sum, { count }) => sum + count, 0),
  };
}

/**
 * The problem that refuses a call for these violations.
 *
 * @param rules those for the call's own session.
 */
export function notMet(
  { request: { sourceSessionId } }: PlannedImport,
  rules: AcceptanceRules,
  { named, count }: Violations,
): Problem {
  return { reason: 'ACCEPTANCE_NOT_MET', sourceSessionId, rules, violations: named, count };
}

function ageViolations(
  sessionId: SessionId,
  { verifiedAt }: Source,
  { maxAge }: AcceptanceRules,
  now: Date,
): AcceptanceViolation[] {
  if (maxAge === null) return [];
  if (verifiedAt !== null && now.getTime() - verifiedAt.getTime() <= maxAge * 1_000) return [];
  return [
    {
      ...{ rule: 'max_age', sessionId },
      found:
        verifiedAt === null
          ? 'a copy that does not say when the original was verified'
          : `verified at ${verifiedAt.toISOString()}`,
      wanted: `at most ${maxAge} s before ${now.toISOString()}`,
    },
  ];
}

function statusViolations(
  sessionId: SessionId,
  { status }: Source,
  { statuses }: AcceptanceRules,
): AcceptanceViolation[] {
  if (statuses === null || statuses.includes(status)) return [];
  const wanted =
    statuses.join(' or ') || 'none: the request and the workflow have no status in common';
  return [{ rule: 'statuses', sessionId, found: status, wanted }];
}

function relationViolations(
  { kind, sourceSessionId: sessionId, linkedWorkflowId, permit }: ImportRequest,
  { rows, scope }: Source,
  { relations }: AcceptanceRules,
  details: FilledDetails,
): AcceptanceViolation[] {
  if (relations.length === 0) return [];
  // With linked sessions, a relation that only the other kind has must be in the sessions of that kind.
  const together = linkedWorkflowId !== null || permit.linkedTo !== null;
  const elsewhere = together ? relationNames(sessionKinds.filter((other) => other !== kind)) : none;
  const withheld = withheldBy(scope, kind);
  const counts = new Map(rows.relations.map((counted) => [counted.relation, counted.rows]));
  return relations.flatMap((relation): AcceptanceViolation[] => {
    const wanted = isDetail(relation) ? 'details that are not empty' : 'at least one row';
    if (withheld.includes(relation)) {
      return [
        {
          rule: 'relations',
          sessionId,
          relation,
          found: 'withheld by the application that shares',
          wanted,
        },
      ];
    }
    if (isDetail(relation)) {
      if (details.get(relation)?.has(sessionId)) return [];
      return [{ rule: 'relations', sessionId, relation, found: 'none', wanted }];
    }
    const count = counts.get(relation);
    if (count === undefined ? elsewhere.has(relation) : count > 0) return [];
    const found = count === undefined ? `none: ${sessionsOf(kind)} have no such relation` : 'none';
    return [{ rule: 'relations', sessionId, relation, found, wanted }];
  });
}

const none: ReadonlySet<string> = new Set();

function sessionsOf(kind: SessionKind): string {
  return `${kind} sessions`;
}
