import type { Knex } from 'knex';
import type { ResultSetHeader } from 'mysql2';

/**
 * A value bound to a `?` of a statement. A list stands for a comma-separated list, as in
 * `IN (?)`; a list of lists for a list of tuples, as in `VALUES ?`. A name is bound to `??`.
 */
export type Binding = string | number | boolean | Date | Buffer | null | readonly Binding[];

/** Runs a statement that reads, and returns its rows. */
export async function read<Row extends object>(
  db: Knex,
  sql: string,
  bindings: readonly Binding[],
): Promise<Row[]> {
  const [rows] = (await db.raw(sql, bindings as Knex.RawBinding[])) as [Row[]];
  return rows;
}

/** Runs a statement that writes, and returns what it did. */
export async function write(
  db: Knex,
  sql: string,
  bindings: readonly Binding[],
): Promise<ResultSetHeader> {
  const [result] = (await db.raw(sql, bindings as Knex.RawBinding[])) as [ResultSetHeader];
  return result;
}
