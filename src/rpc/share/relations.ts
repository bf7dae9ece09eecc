import { z } from 'zod';
import { ServiceError } from '../../model/problems';
import {
  faultyField,
  scopeFaults,
  scopeOfChoice,
  shareableNames,
  type Scope,
} from '../../model/scope';
import { sessionKinds, type SessionKind } from '../../model/session';
import { boundedList } from '../call/request';

const names = shareableNames(sessionKinds);

/** The schema of `relations`: what can be checked before the session is known. */
export const relations = boundedList(
  z
    .string()
    .refine(
      (name) => names.has(name),
      'must be the name of a relation, as in cloned_relations, or expected_details or contact_details',
    ),
);

/**
 * What a request shares of a session; no names: everything.
 *
 * @throws ServiceError with INVALID_REQUEST if the choice does not fit the kind of session, or if a relation is there
 * without the one that its rows belong to.
 */
export function scopeOfRequest(
  chosen: readonly string[],
  kind: SessionKind,
  linkedSessions: boolean,
): Scope {
  const faults = chosen.length > 0 ? scopeFaults(chosen, kind, linkedSessions) : [];
  if (faults.length === 0) return scopeOfChoice(chosen);
  const violations = faults.map((fault) => ({
    field: faultyField(fault, 'relations'),
    description: fault.description,
  }));
  throw new ServiceError({ reason: 'INVALID_REQUEST', violations });
}
