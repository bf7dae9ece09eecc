import { fromBinary, toBinary, type SessionId } from '../model/ids';
import type { Statement } from '../db/query';
import type { ClonePlan } from './clone-plan';
import type { ClonedRows } from '../model/session';

/** What a session has in its relations. */
export interface RowCounts {
  /** By relation, parents before children; those without rows included. */
  readonly relations: readonly ClonedRows[];
  readonly total: number;
}

/** A row of {@link selectRowCounts}. */
export interface RowCountRow {
  readonly id: Buffer;
  readonly [count: `r${number}`]: number;
}

/** The statement that counts the rows of sessions in every relation. */
export function selectRowCounts(plan: ClonePlan, ids: readonly SessionId[]): Statement {
  return { sql: plan.countSql, bindings: [ids.map(toBinary)] };
}

/** What {@link selectRowCounts} has found, by session. */
export function rowCounts(
  plan: ClonePlan,
  rows: readonly RowCountRow[],
): ReadonlyMap<SessionId, RowCounts> {
  return new Map(
    rows.map((row) => {
      const relations = plan.relations.map(({ name }, index) => ({
        relation: name,
        rows: row[`r${index}`] ?? 0,
      }));
      const total = relations.reduce((sum, { rows: count }) => sum + count, 0);
      return [fromBinary<SessionId>(row.id), { relations, total }];
    }),
  );
}
