import type { Query } from '../db/query';
import type { SessionId } from '../model/ids';
import { must } from '../model/must';
import { byScope, scopeOfCopy, type Scope } from '../model/scope';
import { planWithin, type ClonePlan } from '../store/relations/clone-plan';
import { countRows, largeBytes, type LargeBytes, type RowCounts } from '../store/relations/count';
import { expiredDocuments, type ExpiredDocuments } from '../store/relations/expired-documents';
import type { LockedSession, Ownership } from '../store/sessions/lock';
import type { Source } from './planned-import';
import type { ImportRequest } from './request';

/** What a call copies: a source session, as far as it is shared. */
export interface SourcePart {
  readonly id: SessionId;
  readonly scope: Scope;
}

/** Identifies a {@link SourcePart}: several calls may copy different parts of a session. */
export type PartKey = string;

/** The key of a part, for maps. */
export function partKey({ id, scope }: SourcePart): PartKey {
  return scope ? `${id} ${scope.join()}` : id;
}

/** What a call copies: what is shared, without what was withheld from the source itself. */
export function partOf(
  { kind, sourceSessionId: id, scope }: ImportRequest,
  owners: ReadonlyMap<SessionId, Ownership>,
): SourcePart {
  return { id, scope: scopeOfCopy(kind, scope, owners.get(id)?.scope ?? null) };
}

/** Source sessions of which the same is shared, with the plan for that. */
export interface PartGroup {
  readonly plan: ClonePlan;
  readonly ids: readonly SessionId[];
}

/**
 * Groups parts by their scopes, so that each scope has statements of its own: none reads what is withheld. Nearly
 * always there is one group, of whole sessions.
 *
 * @param whole the plan for whole sessions.
 */
export function groupParts(whole: ClonePlan, parts: readonly SourcePart[]): readonly PartGroup[] {
  return byScope(parts, ({ scope }) => scope).map(({ scope, items }) => ({
    plan: planWithin(whole, scope),
    ids: [...new Set(items.map(({ id }) => id))],
  }));
}

/** What is read of each group, by session. */
type Found<Value> = Query<ReadonlyMap<SessionId, Value>>;

/** Reads the numbers of rows. */
export function countsOf(groups: readonly PartGroup[]): Found<RowCounts>[] {
  return groups.map(({ plan, ids }) => countRows(plan, ids));
}

/** Measures the large values. */
export function bytesOf(groups: readonly PartGroup[]): Found<LargeBytes>[] {
  return groups.map(({ plan, ids }) => largeBytes(plan, ids));
}

/** Groups the parts in which there can be documents: others have no relation with documents. */
export function withDocuments(
  whole: ClonePlan,
  parts: readonly SourcePart[],
): readonly PartGroup[] {
  return groupParts(whole, parts).filter(({ plan }) =>
    plan.relations.some(({ expiry }) => expiry !== undefined),
  );
}

/** Reads the expired documents, in groups {@link withDocuments}. */
export function documentsOf(
  groups: readonly PartGroup[],
  today: string,
): Found<ExpiredDocuments>[] {
  return groups.map(({ plan, ids }) => expiredDocuments(plan.relations, ids, today));
}

/** What was read of each group, by part. */
export function byPart<Value>(
  groups: readonly PartGroup[],
  found: readonly ReadonlyMap<SessionId, Value>[],
): ReadonlyMap<PartKey, Value> {
  return new Map(
    groups.flatMap(({ plan: { scope } }, index) =>
      [...must(found[index], 'what was read of a group')].map(
        ([id, value]) => [partKey({ id, scope }), value] as const,
      ),
    ),
  );
}

/**
 * Parts of locked sessions, with the rows that were counted behind the locks.
 *
 * @param parts those whose sessions are not locked are left out.
 * @throws AssertionFailure if the rows of one were not counted.
 */
export function sourcesOf(
  parts: readonly SourcePart[],
  locked: ReadonlyMap<SessionId, LockedSession>,
  counts: ReadonlyMap<PartKey, RowCounts>,
): ReadonlyMap<PartKey, Source> {
  return new Map(
    parts.flatMap((part) => {
      const session = locked.get(part.id);
      if (!session) return [];
      const key = partKey(part);
      const rows = must(counts.get(key), `the count of the rows of session ${part.id}`);
      return [[key, { ...session, scope: part.scope, rows }]];
    }),
  );
}
