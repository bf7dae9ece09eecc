import { toBinary, type SessionId } from '../model/ids';
import type { Statement } from '../db/query';
import { kindSchemas, type Relation } from '../model/relations';
import type { SessionKind } from '../model/session';

/** A row of a relation, by the names of its columns. */
export type Row = Readonly<Record<string, unknown>>;

/** Where a row stands in its relation, within its session: the values of its {@link keyColumns}. */
export type RowKey = readonly number[];

/** Some rows of a relation that follow each other. */
export interface RowRange {
  /** Begins with the first row behind this one; undefined: with the first of all. */
  readonly after: RowKey | undefined;
  /** The most rows. */
  readonly limit: number;
  /**
   * Ends with the row whose large values fill this up, whatever that row's own size: so that large rows
   * do not fill the memory of the service.
   */
  readonly bytes: number;
}

/** The rows of a {@link RowRange}. */
export interface RangeRows {
  readonly rows: readonly Row[];
  /** Whether there would be more, but for their size. */
  readonly more: boolean;
}

/** A relation whose rows stand below those of another. */
export interface ChildRelation {
  readonly parent: string;
  /** The column that names the parent's row by its ordinal. */
  readonly parentOrdinal: string;
}

/** The relations that stand below others. */
export const childRelations: ReadonlyMap<string, ChildRelation> = new Map([
  ['aml_hits', { parent: 'aml_screenings', parentOrdinal: 'screening_ordinal' }],
  ['key_people', { parent: 'key_people_checks', parentOrdinal: 'check_ordinal' }],
]);

/** The columns that order the rows of a relation within a session: its primary key, less the session. */
export function keyColumns(relation: string): readonly string[] {
  const child = childRelations.get(relation);
  return child ? [child.parentOrdinal, 'ordinal'] : ['ordinal'];
}

/** Where a row stands. */
export function keyOf(relation: string, row: Row): RowKey {
  return keyColumns(relation).map((column) => row[column] as number);
}

/** The relations of a kind of session, by name, parents before children. */
export function relationsOf(kind: SessionKind): readonly Relation[] {
  return kindSchemas[kind].relations;
}

/**
 * The statement that reads rows of a relation of a session, in order. MySQL adds up the sizes of the
 * large values, so that only the rows that there is room for cross over.
 *
 * @param large the relation's columns that can be large.
 * @returns what {@link rangeRows} takes.
 */
export function selectRows(
  { name, table }: Relation,
  large: readonly string[],
  sessionId: SessionId,
  { after, limit, bytes }: RowRange,
): Statement {
  const columns = keyColumns(name);
  const key = columns.join(', ');
  const behind = after === undefined ? undefined : isBehind(columns, after);
  const size = large.map(() => 'COALESCE(LENGTH(??), 0)').join(' + ') || '0';
  return {
    sql: `SELECT r.*, k.rows_found
          FROM (
            SELECT ${key}, SUM(size) OVER (ORDER BY ${key}) - size AS size_before,
              COUNT(*) OVER () AS rows_found
            FROM (
              SELECT ${key}, ${size} AS size FROM ?? FORCE INDEX (PRIMARY)
              WHERE session_id = ? ${behind ? `AND (${behind.sql})` : ''}
              ORDER BY session_id, ${key} LIMIT ?
            ) s
          ) k
          STRAIGHT_JOIN ?? r FORCE INDEX (PRIMARY)
            ON r.session_id = ? AND ${columns.map((column) => `r.${column} = k.${column}`).join(' AND ')}
          WHERE k.size_before < ?
          ORDER BY ${columns.map((column) => `k.${column}`).join(', ')}`,
    bindings: [
      ...large,
      table,
      toBinary(sessionId),
      ...(behind?.bindings ?? []),
      limit,
      table,
      toBinary(sessionId),
      bytes,
    ],
  };
}

/** What a statement of {@link selectRows} has read. */
export function rangeRows(read: readonly Row[]): RangeRows {
  let found = 0;
  const rows = read.map(({ rows_found: inRange, ...row }) => {
    found = Number(inRange);
    return row;
  });
  return { rows, more: rows.length < found };
}

/**
 * That a key is greater than another, in a form that MySQL turns into ranges of the index that begin
 * right behind it. With `a >= ? AND (a > ? OR b > ?)`, each page would read all those before it.
 */
function isBehind(
  [first = '', second]: readonly string[],
  [a = 0, b = 0]: RowKey,
): { readonly sql: string; readonly bindings: readonly number[] } {
  if (second === undefined) return { sql: `${first} > ?`, bindings: [a] };
  return {
    sql: `${first} > ? OR (${first} = ? AND ${second} > ?)`,
    bindings: [a, a, b],
  };
}
