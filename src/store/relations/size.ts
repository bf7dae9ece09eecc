import type { ColumnsByTable } from '../../db/catalogue';
import type { Database } from '../../db/database';
import type { KindSchema, Relation } from '../../model/relations';

/** The SQL conditions for columns that can be large: those of JSON, and those of text or bytes. */
export const isJson = "DATA_TYPE = 'json'";
export const isText =
  "DATA_TYPE IN ('text', 'mediumtext', 'longtext', 'blob', 'mediumblob', 'longblob')";

/**
 * Makes SQL that adds up the bytes of the large values that the session `s` has in a relation. MySQL has to read the
 * values for that.
 *
 * @param json the columns of type JSON: they count by their stored size, since MySQL would first have to
 * make their text.
 * @returns undefined if no column of the relation can be large.
 */
export function sizeOfRelation(
  db: Database,
  { table, copied }: Relation,
  json: ColumnsByTable,
  texts: ColumnsByTable,
): string | undefined {
  const quote = (name: string): string => db.ref(name).toQuery();
  const values = [
    ...(json.get(table) ?? []).map((column) => `JSON_STORAGE_SIZE(r.${quote(column)})`),
    ...(texts.get(table) ?? []).map((column) => `LENGTH(r.${quote(column)})`),
  ];
  if (values.length === 0) return undefined;
  const row = values.map((value) => `COALESCE(${value}, 0)`).join(' + ');
  return `(SELECT COALESCE(SUM(${row}), 0) FROM ${quote(table)} r
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
