import { z } from 'zod';
import { longestAge, noRules, relationNames, type AcceptanceRules } from '../model/acceptance';
import { finishedStatuses, type SessionStatus } from '../model/session';

/** The form in which a workflow's rules are stored: JSON, in which a rule that is not set is missing. */
const stored = z
  .strictObject({
    max_age: z.int().min(1).max(longestAge),
    documents_unexpired: z.literal(true),
    statuses: z.array(z.enum([...finishedStatuses] as [SessionStatus, ...SessionStatus[]])).min(1),
    relations: z.array(z.enum([...relationNames()] as [string, ...string[]])).min(1),
  })
  .partial();

/** What is stored of the rules; null if none is set. */
export function storedRules(rules: AcceptanceRules): string | null {
  const { maxAge, documentsUnexpired, statuses, relations } = rules;
  const set = {
    ...(maxAge === null ? {} : { max_age: maxAge }),
    ...(documentsUnexpired ? { documents_unexpired: true } : {}),
    ...(statuses === null ? {} : { statuses }),
    ...(relations.length > 0 ? { relations } : {}),
  };
  return Object.keys(set).length > 0 ? JSON.stringify(stored.parse(set)) : null;
}

/**
 * Reads the rules of a workflow.
 *
 * @param value what the database gives: null, or JSON, which some pools and servers give as text.
 * @throws ZodError if there are rules that this version does not know: to ignore them would let in what they keep out.
 */
export function rulesOf(value: unknown): AcceptanceRules {
  if (value === null) return noRules;
  const set = stored.parse(typeof value === 'string' ? JSON.parse(value) : value);
  return {
    maxAge: set.max_age ?? null,
    documentsUnexpired: set.documents_unexpired ?? false,
    statuses: set.statuses ?? null,
    relations: set.relations ?? [],
  };
}
