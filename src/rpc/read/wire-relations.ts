import { fromBinary } from '../../model/ids';
import { BusinessRelations, UserRelations } from '../../gen/sessionimport/v1/session_relations';
import type { SessionKind } from '../../model/session';
import {
  childRelations,
  keyOf,
  type RangeRows,
  type Row,
  type RowKey,
} from '../../store/relations';

/** The relations of a session, as the contract writes them. */
export type WireRelations =
  | { readonly $case: 'user'; readonly value: UserRelations }
  | { readonly $case: 'business'; readonly value: BusinessRelations };

/** Columns that MySQL knows as a list of choices, and what the contract puts before each of them. */
const enums: Readonly<Record<string, string>> = {
  method: 'LIVENESS_METHOD_',
  entity_type: 'SCREENED_ENTITY_TYPE_',
  validation_type: 'DATABASE_VALIDATION_TYPE_',
  match_type: 'DATABASE_MATCH_TYPE_',
  party_kind: 'PARTY_KIND_',
  log_type: 'LOG_TYPE_',
};

/** How deep key people are nested: some decoders give up at 100 messages within each other. */
const deepest = 50;

/**
 * Writes rows as messages. The contract's fields are the columns, so the generated code does nearly all
 * of it, by protobuf's rules for JSON.
 *
 * @param rows by relation; children stand in their relation, or as `hits`, `key_people` and `owners` in
 * their parents.
 */
export function wireRelations(
  kind: SessionKind,
  rows: Readonly<Record<string, readonly Row[]>>,
): WireRelations {
  return kind === 'user'
    ? { $case: 'user', value: UserRelations.fromJSON(rows) }
    : { $case: 'business', value: BusinessRelations.fromJSON(rows) };
}

/** A row whose values are as protobuf's JSON has them. */
function jsonRow(row: Row): Row {
  return Object.fromEntries(
    Object.entries(row).map(([column, value]) => [column, jsonValue(column, value)]),
  );
}

function jsonValue(column: string, value: unknown): unknown {
  if (Buffer.isBuffer(value)) return fromBinary(value);
  const prefix = enums[column];
  return prefix !== undefined && typeof value === 'string' ? prefix + value.toUpperCase() : value;
}

/** How many bytes a row takes in a message. */
function sizeOf(kind: SessionKind, relation: string, row: Row): number {
  const { $case, value } = wireRelations(kind, { [relation]: [row] });
  const message = $case === 'user' ? UserRelations.encode(value) : BusinessRelations.encode(value);
  return message.finish().length;
}

/** The rows that fit into a page, and where it ends if that is not with the last of all. */
export interface CutRows {
  readonly shown: readonly Row[];
  /** Undefined: there are no more. */
  readonly end: RowKey | undefined;
}

/** What a page has room for. */
export interface Room {
  readonly rows: number;
  readonly bytes: number;
  /** Whether the first row is shown whatever its size. */
  readonly always: boolean;
}

/** The place before all rows of a relation. */
const beforeAll = -1;

/**
 * Cuts rows of a relation to what there is room for.
 *
 * Takes rows in order, as the database has them: one more than there is room for, unless there are no
 * more or they are too large.
 */
export function cut(
  kind: SessionKind,
  relation: string,
  { rows, more }: RangeRows,
  room: Room,
): CutRows {
  const shown: Row[] = [];
  let bytes = 0;
  for (const found of rows.slice(0, room.rows)) {
    const row = jsonRow(found);
    bytes += sizeOf(kind, relation, row);
    if (bytes > room.bytes && !(room.always && shown.length === 0)) break;
    shown.push(row);
  }
  if (shown.length === rows.length && !more) return { shown, end: undefined };
  return { shown, end: endOf(relation, shown) };
}

/** Where the next page begins: behind the last row that is shown. */
export function endOf(relation: string, shown: readonly Row[]): RowKey {
  const last = shown.at(-1);
  if (last) return keyOf(relation, last);
  return childRelations.has(relation) ? [beforeAll, beforeAll] : [beforeAll];
}

/** Puts hits into their screenings, and key people, as trees, into their checks. */
export function nest(rows: ReadonlyMap<string, readonly Row[]>): Record<string, readonly Row[]> {
  const nested = new Map(rows);
  for (const [child, field, arrange] of [
    ['aml_hits', 'hits', (hits: readonly Row[]) => hits],
    ['key_people', 'key_people', ownershipTrees],
  ] as const) {
    const relation = childRelations.get(child);
    if (!relation || !rows.has(child)) continue;
    const byParent = groupBy(rows.get(child) ?? [], relation.parentOrdinal);
    const parents = (rows.get(relation.parent) ?? []).map((row) => ({
      ...row,
      [field]: arrange(byParent.get(row['ordinal']) ?? []),
    }));
    nested.set(relation.parent, parents).delete(child);
  }
  return Object.fromEntries(nested);
}

/** Makes trees of the key people of one check. A parent stands before those who own through it. */
function ownershipTrees(people: readonly Row[]): readonly Row[] {
  interface Node {
    readonly row: Row & { readonly owners: Row[] };
    readonly depth: number;
  }
  const roots: Row[] = [];
  const nodes = new Map<unknown, Node>();
  for (const person of people) {
    const row = { ...person, owners: [] };
    const parent = nodes.get(person['parent_ordinal']);
    const nests = parent !== undefined && parent.depth < deepest;
    (nests ? parent.row.owners : roots).push(row);
    nodes.set(person['ordinal'], { row, depth: nests ? parent.depth + 1 : 1 });
  }
  return roots;
}

function groupBy(rows: readonly Row[], column: string): ReadonlyMap<unknown, readonly Row[]> {
  const groups = new Map<unknown, Row[]>();
  for (const row of rows) {
    const group = groups.get(row[column]);
    if (group) group.push(row);
    else groups.set(row[column], [row]);
  }
  return groups;
}
