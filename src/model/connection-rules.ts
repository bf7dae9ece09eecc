import type {
  ActiveConnection,
  AskedTerms,
  ConnectedPair,
  ConnectionTerm,
  ConnectionTerms,
} from './connection';
import type { Problem } from './problems';

/**
 * Judges what a share or an import asks of the connection of two applications.
 *
 * @param found their active connection; undefined: they have none.
 * @param asked undefined: it is not known, so that only the connection itself is judged.
 * @param at the moment at which the terms must be certified: `certifiedUntil` is the first at which they are not.
 * @returns the problem: they have no connection, or the first term that does not allow it. Undefined: it is allowed.
 */
export function judgeConnection(
  pair: ConnectedPair,
  found: ActiveConnection | undefined,
  asked: AskedTerms | undefined,
  at: Date,
): Problem | undefined {
  const until = found?.terms.certifiedUntil ?? null;
  if (!found || (until !== null && at >= until))
    return { reason: 'CONNECTION_NOT_ACTIVE', ...pair };
  const term = asked && exceededTerm(found.terms, asked);
  return term && { reason: 'CONNECTION_TERMS_EXCEEDED', connectionId: found.id, term };
}

function exceededTerm(terms: ConnectionTerms, asked: AskedTerms): ConnectionTerm | undefined {
  const { kinds, longestTtl, relations } = terms;
  if (!kinds.includes(asked.kind)) return 'session_kinds';
  if (asked.linkedSessions && !terms.linkedSessions) return 'linked_sessions';
  if (asked.trustReview && !terms.trustReview) return 'trust_review';
  if (longestTtl !== null && asked.ttl > longestTtl) return 'longest_ttl';
  if (relations && !asked.relations?.every((name) => relations.includes(name))) return 'relations';
  if (terms.groundsRequired && !asked.grounds) return 'grounds_required';
  return undefined;
}
