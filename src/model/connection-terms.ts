import { isDeepStrictEqual } from 'node:util';
import type { ConnectionTerms } from './connection';
import { codeRule, isCode, maxReference } from './grounds';
import type { FieldViolation } from './problems';
import { faultyField, namesFaults, shareableNames } from './scope';
import { sessionKinds, type SessionKind } from './session';
import { maxLifetime, minLifetime } from './share-lifetime';

/**
 * What is wrong with terms that two applications want to agree on, besides {@link certificationViolation}: in the order
 * of the fields of `ConnectionTerms`, which the violations name.
 */
export function termsViolations(terms: ConnectionTerms): FieldViolation[] {
  const { kinds, linkedSessions, longestTtl, relations, agreement } = terms;
  const violations: FieldViolation[] = [];
  const refuse = (field: string, description: string): void => {
    violations.push({ field, description });
  };
  if (kinds.length === 0) refuse('session_kinds', 'is required: at least one kind');
  if (repeats(kinds)) refuse('session_kinds', 'must name each kind once');
  if (linkedSessions && !sessionKinds.every((kind) => kinds.includes(kind))) {
    refuse('linked_sessions', 'needs both kinds of sessions in session_kinds');
  }
  if (longestTtl !== null && !isTtl(longestTtl)) {
    refuse(
      'longest_ttl',
      `must be whole seconds from ${minLifetime} to ${maxLifetime} when present`,
    );
  }
  if (relations !== null) {
    if (relations.length === 0) refuse('relations', 'must have names, or be left out');
    if (repeats(relations)) refuse('relations', 'must name each relation once');
    // Without kinds, no name would be known.
    const faults = kinds.length > 0 ? namesFaults(relations, kinds, linkedSessions) : [];
    for (const fault of faults) refuse(faultyField(fault, 'relations'), fault.description);
    for (const kind of faults.length > 0 ? [] : unnamedKinds(kinds, linkedSessions, relations)) {
      refuse(
        'relations',
        `must have a relation of ${kind} sessions, unless session_kinds is without ${kind}`,
      );
    }
  }
  if (agreement !== null && !isCode(agreement, maxReference)) {
    refuse('agreement', `must consist of ${codeRule(maxReference)}, when present`);
  }
  return violations;
}

/** The violation of terms whose certification is over; undefined if it is not, or if there is none. */
export function certificationViolation(
  certifiedUntil: Date | null,
  now: Date,
): FieldViolation | undefined {
  if (certifiedUntil === null || certifiedUntil > now) return undefined;
  return { field: 'certified_until', description: 'must be in the future, when present' };
}

/** Whether two sets of terms say the same, in whatever order they name kinds and relations. */
export function sameTerms(a: ConnectionTerms, b: ConnectionTerms): boolean {
  return isDeepStrictEqual(sorted(a), sorted(b));
}

function sorted(terms: ConnectionTerms): ConnectionTerms {
  const { kinds, relations } = terms;
  return { ...terms, kinds: kinds.toSorted(), relations: relations?.toSorted() ?? null };
}

/** The kinds of which no session could be shared, neither by itself nor as a linked session. */
function unnamedKinds(
  kinds: readonly SessionKind[],
  linkedSessions: boolean,
  names: readonly string[],
): SessionKind[] {
  return kinds.filter((kind) => {
    const known = shareableNames([kind]);
    const linked = linkedSessions && kind === 'user';
    return !linked && !names.some((name) => known.has(name));
  });
}

function repeats(values: readonly string[]): boolean {
  return new Set(values).size < values.length;
}

function isTtl(seconds: number): boolean {
  return Number.isInteger(seconds) && seconds >= minLifetime && seconds <= maxLifetime;
}
