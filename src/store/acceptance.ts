import { z } from 'zod';
import { longestAge, noRules, type AcceptanceRules } from '../model/acceptance';
import { shareableNames } from '../model/scope';
import { finishedStatuses, sessionKinds, type SessionStatus } from '../model/session';

const rules = {
  max_age: z.int().min(1).max(longestAge),
  documents_unexpired: z.literal(true),
  statuses: z.array(z.enum([...finishedStatuses] as [SessionStatus, ...SessionStatus[]])),
  relations: z.array(z.enum([...shareableNames(sessionKinds)] as [string, ...string[]])).min(1),
};

/** The form in which rules are stored: JSON, in which a rule that is not set is missing. */
const stored = z.strictObject(rules).partial();

/** The same for a workflow, which takes at least one status. A request and a workflow may take none together. */
const ofWorkflow = stored.extend({ statuses: rules.statuses.min(1).optional() });

/** The same for a record. It decides nothing, so a rule of a later version is left out. */
const recorded = z.object(rules).partial();

/** The rules as JSON to be stored; null if none is set. */
export function storedRules(given: AcceptanceRules): string | null {
  const { maxAge, documentsUnexpired, statuses, relations } = given;
  const set = {
    ...(maxAge === null ? {} : { max_age: maxAge }),
    ...(documentsUnexpired ? { documents_unexpired: true } : {}),
    ...(statuses === null ? {} : { statuses }),
    ...(relations.length > 0 ? { relations } : {}),
  };
  return Object.keys(set).length > 0 ? JSON.stringify(stored.parse(set)) : null;
}

/**
 * Reads the rules that are on record with an import or a refusal.
 *
 * @param value see {@link rulesOf}.
 * @returns null if there were none.
 */
export function recordedRules(value: unknown): AcceptanceRules | null {
  return value === null ? null : modelOf(recorded.parse(parsed(value)));
}

/**
 * Reads the rules of a workflow.
 *
 * @param value what the database returns: null, or JSON, which some pools and servers return as text.
 * @throws ZodError if there are rules that this version does not know: if it ignored them, it would let in sessions
 * that they keep out.
 */
export function rulesOf(value: unknown): AcceptanceRules {
  return value === null ? noRules : modelOf(ofWorkflow.parse(parsed(value)));
}

function parsed(value: unknown): unknown {
  return typeof value === 'string' ? JSON.parse(value) : value;
}

function modelOf(set: z.output<typeof stored>): AcceptanceRules {
  return {
    maxAge: set.max_age ?? null,
    documentsUnexpired: set.documents_unexpired ?? false,
    statuses: set.statuses ?? null,
    relations: set.relations ?? [],
  };
}
