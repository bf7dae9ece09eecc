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

/** A statement with what is bound to it. */
export interface Statement {
  readonly sql: string;
  readonly bindings: readonly Binding[];
}

/**
 * Runs statements that read, in order and in one round trip, and returns the rows of each.
 *
 * @param db a database that was opened with `together`.
 */
export async function readTogether<Rows extends readonly object[]>(
  db: Knex,
  statements: { readonly [I in keyof Rows]: Statement },
): Promise<{ [I in keyof Rows]: Rows[I][] }> {
  return (await runTogether(db, statements)) as { [I in keyof Rows]: Rows[I][] };
}

/**
 * Runs statements that write, in order and in one round trip, and returns what each did. The first
 * that fails is the last that was run.
 *
 * @param db a database that was opened with `together`.
 */
export async function writeTogether(
  db: Knex,
  statements: readonly Statement[],
): Promise<ResultSetHeader[]> {
  return (await runTogether(db, statements)) as ResultSetHeader[];
}

async function runTogether(db: Knex, statements: readonly Statement[]): Promise<unknown[]> {
  const sql = statements.map((statement) => statement.sql).join(';\n');
  const bindings = statements.flatMap((statement) => statement.bindings);
  const [results] = (await db.raw(sql, bindings as Knex.RawBinding[])) as [unknown[]];
  return statements.length === 1 ? [results] : results;
}
