import { query, sql, type Query } from '../db/query';

/** The tables that grow with the calls, and from which `prune` deletes old rows if it is told so. */
export const growingTables = ['import_refusals', 'share_tokens', 'session_events'] as const;

export type GrowingTable = (typeof growingTables)[number];

/**
 * About how many rows these tables have, as the database estimates it for its own plans: often wrong by some percent,
 * and on MySQL up to a day old. Counting would read all rows.
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
