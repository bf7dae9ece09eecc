import type { Database } from './database';
import { read, select } from './query';

/** Columns by table, in their order. */
export type ColumnsByTable = ReadonlyMap<string, readonly string[]>;

/**
 * Reads from the database's catalogue which columns its tables have.
 *
 * @param condition which of them are wanted: constant SQL over `information_schema.COLUMNS`.
 */
export async function readColumns(db: Database, condition: string): Promise<ColumnsByTable> {
  return columnsByTable(
    db,
    `SELECT TABLE_NAME AS table_name, COLUMN_NAME AS column_name
     FROM information_schema.COLUMNS
     WHERE TABLE_SCHEMA = DATABASE() AND ${condition}
     ORDER BY TABLE_NAME, ORDINAL_POSITION`,
  );
}

/** Reads from the database's catalogue the columns of each table's primary key, in their order. */
export async function readPrimaryKeys(db: Database): Promise<ColumnsByTable> {
  return columnsByTable(
    db,
    `SELECT TABLE_NAME AS table_name, COLUMN_NAME AS column_name
     FROM information_schema.KEY_COLUMN_USAGE
     WHERE TABLE_SCHEMA = DATABASE() AND CONSTRAINT_NAME = 'PRIMARY'
     ORDER BY TABLE_NAME, ORDINAL_POSITION`,
  );
}

/** How a table is stored, in the server's words. */
export interface Storage {
  readonly engine: string;
  readonly rowFormat: string;
}

/** Reads from the database's catalogue how its tables are stored, by their names. */
export async function readTables(db: Database): Promise<ReadonlyMap<string, Storage>> {
  interface Row {
    readonly name: string;
    readonly engine: string;
    readonly row_format: string;
  }
  const found = await read(
    db,
    select<Row>(
      `SELECT TABLE_NAME AS name, ENGINE AS engine, ROW_FORMAT AS row_format
       FROM information_schema.TABLES
       WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE'`,
      [],
    ),
  );
  return new Map(
    found.map(({ name, engine, row_format: rowFormat }) => [name, { engine, rowFormat }]),
  );
}

/** Reads a variable of the server, or undefined if it does not know it. */
export async function readVariable(db: Database, name: string): Promise<string | undefined> {
  interface Row {
    readonly Value: string;
  }
  const [row] = await read(db, select<Row>('SHOW VARIABLES WHERE Variable_name = ?', [name]));
  return row?.Value;
}

/** A table that refers to another by a foreign key. */
export interface Reference {
  readonly child: string;
  readonly parent: string;
}

/** Reads from the database's catalogue which tables refer to which. */
export async function readForeignKeys(db: Database): Promise<readonly Reference[]> {
  return read(
    db,
    select<Reference>(
      `SELECT TABLE_NAME AS child, REFERENCED_TABLE_NAME AS parent
       FROM information_schema.REFERENTIAL_CONSTRAINTS
       WHERE CONSTRAINT_SCHEMA = DATABASE()`,
      [],
    ),
  );
}

/** Every table that refers to the given one, directly or through others. */
export function tablesBelow(root: string, references: readonly Reference[]): ReadonlySet<string> {
  const found = new Set<string>();
  const visit = (table: string): void => {
    for (const { child, parent } of references) {
      if (parent !== table || found.has(child)) continue;
      found.add(child);
      visit(child);
    }
  };
  visit(root);
  return found;
}

async function columnsByTable(db: Database, sql: string): Promise<ColumnsByTable> {
  interface Row {
    readonly table_name: string;
    readonly column_name: string;
  }
  const columns = new Map<string, string[]>();
  for (const row of await read(db, select<Row>(sql, []))) {
    const known = columns.get(row.table_name);
    if (known) known.push(row.column_name);
    else columns.set(row.table_name, [row.column_name]);
  }
  return columns;
}
