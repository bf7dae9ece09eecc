import type {
  ActiveConnection,
  AskedTerms,
  ConnectedPair,
  ConnectionTerm,
  ConnectionTerms,
} from './connection';
import type { Problem } from './problems';

/**
 * Judges whether two applications have an active connection that is certified at a moment: `certifiedUntil` is the
 * first at which it is not.
 *
 * @param found their active connection; undefined: they have none.
 * @returns the problem; undefined: they have one.
 */
export function judgeActive(
  pair: ConnectedPair,
  found: ActiveConnection | undefined,
  at: Date,
): Problem | undefined {
  const until = found?.terms.certifiedUntil ?? null;
  if (found && (until === null || at < until)) return undefined;
  return { reason: 'CONNECTION_NOT_ACTIVE', ...pair };
}

/**
 * Judges whether the terms of a connection allow what a share or an import asks.
 *
 * @returns the problem, with the first term that does not allow it; undefined: all of them do.
 */
export function judgeTerms(
  { id: connectionId, terms }: ActiveConnection,
  asked: AskedTerms,
): Problem | undefined {
  const term = exceededTerm(terms, asked);
  return term && { reason: 'CONNECTION_TERMS_EXCEEDED', connectionId, term };
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
