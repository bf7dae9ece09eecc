import { readColumns, type ColumnsByTable } from '../../db/catalogue';
import type { Database } from '../../db/database';
import type { KindSchema, Relation } from '../../model/relations';

/** The columns of all tables whose values can be large. */
export interface LargeColumns {
  readonly json: ColumnsByTable;
  /** Texts and bytes. In MariaDB, JSON is LONGTEXT. */
  readonly texts: ColumnsByTable;
}

/** Finds in the database's catalogue the columns that can be large. */
export async function readLargeColumns(db: Database): Promise<LargeColumns> {
  const [json, texts] = await Promise.all([
    readColumns(db, "DATA_TYPE = 'json'"),
    readColumns(
      db,
      "DATA_TYPE IN ('text', 'mediumtext', 'longtext', 'blob', 'mediumblob', 'longblob')",
    ),
  ]);
  return { json, texts };
}

/**
 * Makes SQL that adds up the bytes of a row's large values. MySQL has to read the values for that.
 *
 * Values of JSON count by their stored size. To measure their text, MySQL would first have to make it, and the sum
 * would take two to three times as long. The text can have six times as many bytes: a control character is stored as
 * one byte, and written as six (`\u0001`).
 *
 * @param row what the statement calls the row.
 * @returns undefined if no column of the table can be large.
 */
export function sizeOfRow(
  db: Database,
  { json, texts }: LargeColumns,
  table: string,
  row: string,
): string | undefined {
  const quote = (name: string): string => `${row}.${db.ref(name).toQuery()}`;
  const values = [
    ...(json.get(table) ?? []).map((column) => `JSON_STORAGE_SIZE(${quote(column)})`),
    ...(texts.get(table) ?? []).map((column) => `LENGTH(${quote(column)})`),
  ];
  if (values.length === 0) return undefined;
  return values.map((value) => `COALESCE(${value}, 0)`).join(' + ');
}

/**
 * Makes SQL that reads the sizes of the large values of each row that sessions `s` have in a relation.
 *
 * @returns undefined if no column of the relation can be large.
 */
export function sizesOfRelation(
  db: Database,
  large: LargeColumns,
  { table, copied }: Relation,
): string | undefined {
  const size = sizeOfRow(db, large, table, 'r');
  if (size === undefined) return undefined;
  return `SELECT s.id, ${size} AS size FROM s STRAIGHT_JOIN ${db.ref(table).toQuery()} r FORCE INDEX (PRIMARY)
            ON r.session_id = s.id ${copied === undefined ? '' : `AND ${copied}`}`;
}

/**
 * Makes the statement that measures the large values of sessions in some relations: all of them, and those of the row
 * with the most.
 */
export function sizeSql(
  { sessions }: KindSchema,
  relations: readonly { readonly sizesSql: string | undefined }[],
): string {
  const sizes = relations.flatMap((relation) => relation.sizesSql ?? []);
  const none = 'SELECT s.id, 0 AS size FROM s';
  // MySQL makes the union first, and so measures each value once.
  return `
    WITH s AS (SELECT id FROM ${sessions} FORCE INDEX (PRIMARY) WHERE id IN (?))
    SELECT id, SUM(size) AS bytes, MAX(size) AS largest_row
    FROM (${[none, ...sizes].join(' UNION ALL ')}) z GROUP BY id`;
}
