import { z } from 'zod';
import type { Binding } from '../../db/query';
import type { ConnectionTerms } from '../../model/connection';
import type { SessionKind } from '../../model/session';

/** The columns with the terms of a connection. */
export const termsColumns = [
  'user_sessions',
  'business_sessions',
  'linked_sessions',
  'trust_review',
  'longest_ttl',
  'relations',
  'grounds_required',
  'agreement',
  'certified_until',
] as const;

/** A row with {@link termsColumns}. */
export interface TermsRow {
  readonly user_sessions: number;
  readonly business_sessions: number;
  readonly linked_sessions: number;
  readonly trust_review: number;
  readonly longest_ttl: number | null;
  /** JSON, which some pools and servers return as text. */
  readonly relations: unknown;
  readonly grounds_required: number;
  readonly agreement: string | null;
  readonly certified_until: Date | null;
}

/** The values for {@link termsColumns}, in their order. */
export function termsBindings(terms: ConnectionTerms): readonly Binding[] {
  return [
    terms.kinds.includes('user'),
    terms.kinds.includes('business'),
    terms.linkedSessions,
    terms.trustReview,
    terms.longestTtl,
    terms.relations && JSON.stringify(terms.relations),
    terms.groundsRequired,
    terms.agreement,
    terms.certifiedUntil,
  ];
}

/** The terms of a row. */
export function termsOf(row: TermsRow): ConnectionTerms {
  const kinds: SessionKind[] = [];
  if (row.user_sessions === 1) kinds.push('user');
  if (row.business_sessions === 1) kinds.push('business');
  return {
    kinds,
    linkedSessions: row.linked_sessions === 1,
    trustReview: row.trust_review === 1,
    longestTtl: row.longest_ttl,
    relations: relationsOf(row.relations),
    groundsRequired: row.grounds_required === 1,
    agreement: row.agreement,
    certifiedUntil: row.certified_until,
  };
}

const names = z.array(z.string()).min(1).nullable();

function relationsOf(value: unknown): readonly string[] | null {
  return names.parse(typeof value === 'string' ? JSON.parse(value) : value);
}
