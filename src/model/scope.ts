import { relationNames } from './acceptance';
import { kindSchemas } from './relations';
import type { SessionKind } from './session';

/** The session's own columns about the person or company, which can be shared or withheld like relations. */
export const detailNames = ['expected_details', 'contact_details'] as const;

/** One of {@link detailNames}. */
export type DetailName = (typeof detailNames)[number];

/** Whether a name is one of {@link detailNames}. */
export function isDetail(name: string): name is DetailName {
  return (detailNames as readonly string[]).includes(name);
}

/**
 * What is shared of a session: the names of relations and of {@link detailNames}, each once, sorted. Empty: none of
 * them. Null: all of them, also those that later versions know.
 */
export type Scope = readonly string[] | null;

/** An error in a choice of relations. */
export interface ScopeFault {
  /** The place in the list; undefined: the list as a whole. */
  readonly index: number | undefined;
  /** What it must be: goes on after the name of the field. */
  readonly description: string;
}

/**
 * The names that sessions of some kinds can share, withhold, or be required to have: relations, parents before
 * children, then details.
 */
export function shareableNames(kinds: readonly SessionKind[]): ReadonlySet<string> {
  return new Set([...relationNames(kinds), ...detailNames]);
}

/** The kinds of the sessions that are shared together. */
export function kindsShared(kind: SessionKind, linkedSessions: boolean): readonly SessionKind[] {
  return kind === 'business' && linkedSessions ? ['business', 'user'] : [kind];
}

/**
 * What is wrong with a choice of relations of a session.
 *
 * @param linkedSessions whether those of the key people of a business session are shared with it, by the same choice.
 */
export function scopeFaults(
  names: readonly string[],
  kind: SessionKind,
  linkedSessions: boolean,
): readonly ScopeFault[] {
  const kinds = kindsShared(kind, linkedSessions);
  return namesFaults(names, kinds, kinds.length > 1);
}

/**
 * What is wrong with the names of what is to be shared of sessions of some kinds.
 *
 * @param linked whether linked sessions are shared. Then `key_people` must be there, since key people name them.
 */
export function namesFaults(
  names: readonly string[],
  kinds: readonly SessionKind[],
  linked: boolean,
): readonly ScopeFault[] {
  const known = shareableNames(kinds);
  const faults = names.flatMap((name, index): ScopeFault[] => {
    if (!known.has(name)) {
      const description = `must be a relation of ${kinds.join(' or ')} sessions, expected_details or contact_details`;
      return [{ index, description }];
    }
    const missing = parentsOf(name, kinds).find((parent) => !names.includes(parent));
    if (missing === undefined) return [];
    const description = `must not be there without ${missing}, to whose rows its rows belong`;
    return [{ index, description }];
  });
  const withoutPeople = linked && !names.includes('key_people');
  const description = 'must have key_people if linked sessions are shared: key people name them';
  return withoutPeople ? [...faults, { index: undefined, description }] : faults;
}

/** The field that a fault is about. @param list the name of the field with the names. */
export function faultyField({ index }: ScopeFault, list: string): string {
  return index === undefined ? list : `${list}[${index}]`;
}

/** The names of the relations to whose rows those of a relation belong. */
function parentsOf(name: string, kinds: readonly SessionKind[]): string[] {
  return kinds.flatMap((kind) =>
    kindSchemas[kind].relations.flatMap(({ name: own, below }) =>
      own === name && below ? [below.relation] : [],
    ),
  );
}

/** A choice as a scope. No names: everything is shared. */
export function scopeOfChoice(names: readonly string[]): Scope {
  return names.length > 0 ? [...new Set(names)].sort() : null;
}

/**
 * What a copy gets of a session: what is shared of it, without what was withheld from the session itself.
 *
 * @param shared by the share token.
 * @param own the scope of the session, which may be a copy.
 */
export function scopeOfCopy(kind: SessionKind, shared: Scope, own: Scope): Scope {
  if (shared === null && own === null) return null;
  const names = [...shareableNames([kind])];
  return names.filter((name) => shares(shared, name) && shares(own, name)).sort();
}

/** Whether a relation, or one of the details, is shared. */
export function shares(scope: Scope, name: string): boolean {
  return scope === null || scope.includes(name);
}

/** The names that a scope withholds from a session of a kind, in the order of {@link shareableNames}. */
export function withheldBy(scope: Scope, kind: SessionKind): readonly string[] {
  // Nearly always: so nothing is looked at.
  if (scope === null) return [];
  return [...shareableNames([kind])].filter((name) => !shares(scope, name));
}

/** Items of which the same is shared. */
interface SameScope<Item> {
  readonly scope: Scope;
  readonly items: readonly Item[];
}

/** Groups items by what is shared of them, in the order of the first of each group. */
export function byScope<Item>(
  items: readonly Item[],
  scopeOf: (item: Item) => Scope,
): readonly SameScope<Item>[] {
  const groups = new Map<string | undefined, { scope: Scope; items: Item[] }>();
  for (const item of items) {
    const scope = scopeOf(item);
    const key = scope?.join();
    const group = groups.get(key);
    if (group) group.items.push(item);
    else groups.set(key, { scope, items: [item] });
  }
  return [...groups.values()];
}
