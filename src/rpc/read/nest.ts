import { groupBy } from '../../model/collections';
import { must } from '../../model/must';
import type { Below, Relation } from '../../model/relations';
import type { Row } from '../../store/relations/read';

/** How deep trees are nested. Some decoders refuse messages with more than 100 levels. */
const maxDepth = 50;

/**
 * Puts child rows into their parents, as the contract shows them: hits into screenings, and key
 * people, as trees, into key people checks.
 *
 * @returns rows by the name of their relation.
 */
export function nest(rows: ReadonlyMap<Relation, readonly Row[]>): Record<string, readonly Row[]> {
  const nested = new Map([...rows].map(([{ name }, own]) => [name, own]));
  for (const [{ name, below }, own] of rows) {
    if (!below) continue;
    const byParent = groupBy(own, (row) => row[below.ordinal]);
    const parents = must(nested.get(below.relation), below.relation).map((parent) => ({
      ...parent,
      [below.field]: arranged(below, byParent.get(parent['ordinal']) ?? []),
    }));
    nested.set(below.relation, parents).delete(name);
  }
  return Object.fromEntries(nested);
}

/** The children of one row: as a list, or as trees. In the input, a row precedes its children. */
function arranged({ tree }: Below, rows: readonly Row[]): readonly Row[] {
  if (!tree) return rows;
  interface Node {
    readonly below: Row[];
    readonly depth: number;
  }
  const roots: Row[] = [];
  const nodes = new Map<unknown, Node>();
  for (const row of rows) {
    const parent = nodes.get(row[tree.ordinal]);
    const nests = parent !== undefined && parent.depth < maxDepth;
    const below: Row[] = [];
    (nests ? parent.below : roots).push({ ...row, [tree.field]: below });
    nodes.set(row['ordinal'], { below, depth: nests ? parent.depth + 1 : 1 });
  }
  return roots;
}
