import type { Binding } from '../db/query';
import type { Grounds, GroundsKind } from '../model/grounds';

/** The columns with the grounds of sharing; all null if there are none. */
export const groundsColumns = [
  'grounds_kind',
  'grounds_purpose',
  'grounds_reference',
  'grounds_obtained_at',
  'grounds_evidence',
] as const;

/** The same columns, to be read from a table with an alias. */
export function groundsColumnsOf(alias: string): string {
  return groundsColumns.map((name) => `${alias}.${name}`).join(', ');
}

/** A row with {@link groundsColumns}. */
export interface GroundsRow {
  readonly grounds_kind: GroundsKind | null;
  readonly grounds_purpose: string | null;
  readonly grounds_reference: string | null;
  readonly grounds_obtained_at: Date | null;
  readonly grounds_evidence: Buffer | null;
}

/** The values for {@link groundsColumns}, in their order. */
export function groundsBindings(grounds: Grounds | null): readonly Binding[] {
  if (!grounds) return groundsColumns.map(() => null);
  const { kind, purpose, reference, obtainedAt, evidence } = grounds;
  return [kind, purpose, reference, obtainedAt, evidence];
}

/** The grounds of a row; null if it has none. */
export function groundsOf(row: GroundsRow): Grounds | null {
  if (row.grounds_kind === null) return null;
  return {
    kind: row.grounds_kind,
    purpose: row.grounds_purpose,
    reference: row.grounds_reference,
    obtainedAt: row.grounds_obtained_at,
    evidence: row.grounds_evidence,
  };
}
