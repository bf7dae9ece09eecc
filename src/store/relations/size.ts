import type { ColumnsByTable } from '../../db/catalogue';
import type { Database } from '../../db/database';
import type { KindSchema } from '../../model/relations';

/** The SQL conditions for columns that can be large: those of JSON, and those of text or bytes. */
export const isJson = "DATA_TYPE = 'json'";
export const isText =
  "DATA_TYPE IN ('text', 'mediumtext', 'longtext', 'blob', 'mediumblob', 'longblob')";

/**
 * Makes the statement that adds up the bytes of a session's large values. MySQL has to read the values for
 * that.
 *
 * @param json the columns of type JSON: they count by their stored size, since MySQL would first have to
 * make their text.
 */
export function sizeSql(
  db: Database,
  { sessions, relations }: KindSchema,
  json: ColumnsByTable,
  texts: ColumnsByTable,
): string {
  const quote = (name: string): string => db.ref(name).toQuery();
  const sizes = relations.flatMap(({ table, copied }) => {
    const values = [
      ...(json.get(table) ?? []).map((column) => `JSON_STORAGE_SIZE(r.${quote(column)})`),
      ...(texts.get(table) ?? []).map((column) => `LENGTH(r.${quote(column)})`),
    ];
    if (values.length === 0) return [];
    const row = values.map((value) => `COALESCE(${value}, 0)`).join(' + ');
    return [
      `(SELECT COALESCE(SUM(${row}), 0) FROM ${quote(table)} r
        WHERE r.session_id = s.id ${copied === undefined ? '' : `AND ${copied}`})`,
    ];
  });
  return `
    SELECT s.id, ${sizes.join(' + ') || '0'} AS bytes
    FROM ${quote(sessions)} s FORCE INDEX (PRIMARY)
    WHERE s.id IN (?)`;
}
