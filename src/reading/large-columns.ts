import { read } from '../db/query';
import type { Database } from '../db/connection';

/** By table: the columns whose values can be as large as MySQL lets them. */
export type LargeColumns = ReadonlyMap<string, readonly string[]>;

/**
 * Reads from the database's catalogue which columns can be large. Run once, when the service starts.
 * To MariaDB, JSON is a long text.
 */
export async function readLargeColumns(db: Database): Promise<LargeColumns> {
  const rows = await read<{ readonly table_name: string; readonly column_name: string }>(
    db,
    `SELECT TABLE_NAME AS table_name, COLUMN_NAME AS column_name
     FROM information_schema.COLUMNS
     WHERE TABLE_SCHEMA = DATABASE() AND DATA_TYPE IN ('json', 'text', 'mediumtext', 'longtext')
     ORDER BY TABLE_NAME, ORDINAL_POSITION`,
    [],
  );
  const columns = new Map<string, string[]>();
  for (const { table_name: table, column_name: column } of rows) {
    const known = columns.get(table);
    if (known) known.push(column);
    else columns.set(table, [column]);
  }
  return columns;
}
