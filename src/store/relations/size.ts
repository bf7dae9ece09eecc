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
 * Makes SQL that adds up the bytes of the large values that the session `s` has in a relation.
 *
 * @returns undefined if no column of the relation can be large.
 */
export function sizeOfRelation(
  db: Database,
  large: LargeColumns,
  { table, copied }: Relation,
): string | undefined {
  const size = sizeOfRow(db, large, table, 'r');
  if (size === undefined) return undefined;
  return `(SELECT COALESCE(SUM(${size}), 0) FROM ${db.ref(table).toQuery()} r
        WHERE r.session_id = s.id ${copied === undefined ? '' : `AND ${copied}`})`;
}

/** Makes the statement that adds up the bytes of a session's large values in some relations. */
export function sizeSql(
  { sessions }: KindSchema,
  relations: readonly { readonly sizeSql: string | undefined }[],
): string {
  const sizes = relations.flatMap((relation) => relation.sizeSql ?? []);
  return `
    SELECT s.id, ${sizes.join(' + ') || '0'} AS bytes
    FROM ${sessions} s FORCE INDEX (PRIMARY)
    WHERE s.id IN (?)`;
}
