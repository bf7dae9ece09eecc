import type { Scope } from '../model/scope';

/** The column with what is shared: names with commas between them. Null: everything is shared. */
export const scopeColumn = 'shared_relations';

/** A row with {@link scopeColumn}. */
export interface ScopeRow {
  readonly shared_relations: string | null;
}

/** The value for {@link scopeColumn}. */
export function storedScope(scope: Scope): string | null {
  return scope === null ? null : scope.join(',');
}

/**
 * What a row says is shared. Names that this version does not know stay in it: they belong to relations of a later
 * version.
 */
export function scopeOf({ shared_relations: names }: ScopeRow): Scope {
  if (names === null) return null;
  return names === '' ? [] : names.split(',');
}
