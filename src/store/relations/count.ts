import { inList, query, sql, type Query } from '../../db/query';
import { fromBinary, toBinary, type SessionId } from '../../model/ids';
import { must } from '../../model/must';
import type { ClonedRows } from '../../model/session';
import type { ClonePlan } from './clone-plan';

/** The numbers of rows of a session. */
export interface RowCounts {
  /** By relation, parents before children; those without rows included, and those that are withheld not. */
  readonly relations: readonly ClonedRows[];
  readonly total: number;
  /** The ordinal of the next log entry of a copy: it follows those that are copied. */
  readonly nextLog: number;
}

/** A row of what the plan's statement counts. */
interface Row {
  readonly id: Buffer;
  readonly next_log: number;
  readonly [count: `r${number}`]: number;
}

/** Counts the rows of sessions in every relation that is shared. */
export function countRows(
  plan: ClonePlan,
  ids: readonly SessionId[],
): Query<ReadonlyMap<SessionId, RowCounts>> {
  const statement = { sql: plan.countSql, bindings: [inList(ids.map(toBinary))] };
  return query(
    statement,
    (rows: Row[]) =>
      new Map(rows.map((row) => [fromBinary<SessionId>(row.id), countsOf(plan, row)])),
  );
}

function countsOf(plan: ClonePlan, row: Row): RowCounts {
  const relations = plan.relations.map(({ name }, index) => ({
    relation: name,
    rows: must(row[`r${index}`], `the count of ${name}`),
  }));
  const total = relations.reduce((sum, { rows }) => sum + rows, 0);
  return { relations, total, nextLog: row.next_log };
}

/** How many bytes the large values of a session have, in all relations that are shared. */
export interface LargeBytes {
  readonly all: number;
  /** Those of the row that has most. */
  readonly largestRow: number;
}

/** Measures the large values of sessions. @param ids at least one. */
export function largeBytes(
  { sizeSql }: ClonePlan,
  ids: readonly SessionId[],
): Query<ReadonlyMap<SessionId, LargeBytes>> {
  type Sizes = Readonly<Record<'bytes' | 'largest_row', number | string>>;
  return query(
    sql(sizeSql, ids.map(toBinary)),
    (rows: (Sizes & { readonly id: Buffer })[]) =>
      new Map(
        rows.map(({ id, bytes, largest_row: largest }) => [
          fromBinary<SessionId>(id),
          { all: Number(bytes), largestRow: Number(largest) },
        ]),
      ),
  );
}
