import type { Knex } from 'knex';
import { read } from './query';

/** Columns by table, in their order. */
export type ColumnsByTable = ReadonlyMap<string, readonly string[]>;

/**
 * Reads from the database's catalogue which columns its tables have.
 *
 * @param condition which of them are wanted: constant SQL over `information_schema.COLUMNS`.
 */
export async function readColumns(db: Knex, condition: string): Promise<ColumnsByTable> {
  const rows = await read<{ readonly table_name: string; readonly column_name: string }>(
    db,
    `SELECT TABLE_NAME AS table_name, COLUMN_NAME AS column_name
     FROM information_schema.COLUMNS
     WHERE TABLE_SCHEMA = DATABASE() AND ${condition}
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
