import { z } from 'zod';
import type { AcceptanceRules as WireRules } from '../../gen/sessionimport/v1/session_import';
import { longestAge, noRules, type AcceptanceRules } from '../../model/acceptance';
import { must } from '../../model/must';
import { shareableNames } from '../../model/scope';
import { finishedStatuses, sessionKinds, type SessionStatus } from '../../model/session';
import { boundedList } from '../call/request';
import { wireStatuses } from '../wire';

const maxAge = z
  .object({ seconds: z.number(), nanos: z.number() })
  .refine(
    ({ seconds, nanos }) => nanos === 0 && seconds >= 1 && seconds <= longestAge,
    `must be whole seconds from 1 to ${longestAge} when present`,
  )
  .transform(({ seconds }) => seconds);

/** By their values in the contract: the statuses that a session can be imported with. */
const statuses: ReadonlyMap<number, SessionStatus> = new Map(
  [...finishedStatuses].map((status) => [wireStatuses[status], status]),
);

const status = z
  .number()
  .refine(
    (value) => statuses.has(value),
    'must be Approved, Declined, In Review or Kyc Expired: sessions with another status can not be imported',
  );

const names = shareableNames(sessionKinds);

const relation = z
  .string()
  .refine(
    (name) => names.has(name),
    'must be the name of a relation, as in cloned_relations, or expected_details or contact_details',
  );

/** The schema of `acceptance`. */
export const acceptance = z.object({
  max_age: maxAge.optional(),
  documents_unexpired: z.boolean(),
  statuses: boundedList(status),
  relations: boundedList(relation),
});

/** The fields of a request's rules by their names in the proto file. */
export function fieldsOf(rules: WireRules | undefined): z.input<typeof acceptance> | undefined {
  return (
    rules && {
      max_age: rules.maxAge,
      documents_unexpired: rules.documentsUnexpired,
      statuses: rules.statuses,
      relations: rules.relations,
    }
  );
}

/** The rules of a request. Each status and relation is there once, and sorted, so that equal rules look the same. */
export function rulesOf(fields: z.output<typeof acceptance> | undefined): AcceptanceRules {
  if (!fields) return noRules;
  const wanted = [...new Set(fields.statuses)].sort((a, b) => a - b);
  return {
    maxAge: fields.max_age ?? null,
    documentsUnexpired: fields.documents_unexpired,
    statuses:
      wanted.length > 0
        ? wanted.map((value) => must(statuses.get(value), 'a status that was checked'))
        : null,
    relations: [...new Set(fields.relations)].sort(),
  };
}

/** Rules as the contract writes them; undefined if there are none. */
export function wireRules(rules: AcceptanceRules): WireRules | undefined {
  const { maxAge: seconds, documentsUnexpired, statuses: its, relations } = rules;
  const none = seconds === null && !documentsUnexpired && its === null && relations.length === 0;
  if (none) return undefined;
  return {
    maxAge: seconds === null ? undefined : { seconds, nanos: 0 },
    documentsUnexpired,
    statuses: (its ?? []).map((each) => wireStatuses[each]),
    relations: [...relations],
  };
}
