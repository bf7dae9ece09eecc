import { query, sql, type Query } from '../db/query';

/** A table that grows with the calls, and from which `prune` deletes old rows if it is told so. */
export type GrowingTable = 'import_refusals' | 'share_tokens';

/** The tables of {@link GrowingTable}. */
export const growingTables: readonly GrowingTable[] = ['import_refusals', 'share_tokens'];

/**
 * About how many rows these tables have, as the database estimates it for its own plans: often wrong by some percent,
 * and on MySQL up to a day old. Counting would read all of them.
 */
export function estimatedRows(): Query<ReadonlyMap<GrowingTable, number>> {
  type Row = Readonly<{ name: GrowingTable; estimate: number | null }>;
  return query(
    sql(
      `SELECT TABLE_NAME AS name, TABLE_ROWS AS estimate FROM information_schema.TABLES
       WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN (?)`,
      growingTables,
    ),
    (rows: Row[]) => new Map(rows.map(({ name, estimate }) => [name, estimate ?? 0])),
  );
}
