import type { Knex } from 'knex';
import type { ResultSetHeader } from 'mysql2';
import { must } from '../model/must';
import type { Database, MultiDatabase } from './database';

/**
 * A value bound to a `?` of a statement. A list stands for a comma-separated list, as in
 * `IN (?)`; a list of lists for a list of tuples, as in `VALUES ?`. A name is bound to `??`.
 */
export type Binding = string | number | boolean | Date | Buffer | null | readonly Binding[];

/** A statement with what is bound to it. */
export interface Statement {
  readonly sql: string;
  readonly bindings: readonly Binding[];
}

/** A statement that reads, and how its rows are parsed. */
export interface Query<Result> extends Statement {
  readonly parse: (rows: object[]) => Result;
}

/** Makes a query from a statement and a parser for its rows. */
export function query<Row extends object, Result>(
  { sql, bindings }: Statement,
  parse: (rows: Row[]) => Result,
): Query<Result> {
  return { sql, bindings, parse: (found) => parse(found as Row[]) };
}

/** A query whose result is its rows as they are. */
export function select<Row extends object>(
  sql: string,
  bindings: readonly Binding[],
): Query<Row[]> {
  return query({ sql, bindings }, (found: Row[]) => found);
}

/** Runs a query. */
export async function read<Result>(db: Database, wanted: Query<Result>): Promise<Result> {
  const [found] = (await run(db, wanted)) as [object[]];
  return wanted.parse(found);
}

/** Runs a statement that writes, and returns what it did. */
export async function write(db: Database, statement: Statement): Promise<ResultSetHeader> {
  const [result] = (await run(db, statement)) as [ResultSetHeader];
  return result;
}

/**
 * Runs an `INSERT IGNORE`, and makes sure that it has ignored only duplicates. By itself, IGNORE turns every
 * error of a row into a warning: it truncates a value that does not fit, and skips a row that refers to nothing
 * (MySQL 8.4 manual, section 15.2.7).
 *
 * @param trx must be rolled back if this throws, because it may contain a row with a truncated value.
 * @returns how many rows are new; the others found one of their unique values taken.
 * @throws Error if anything but a duplicate was ignored. It has the server's code, and no value.
 */
export async function insertNew(trx: Knex.Transaction, statement: Statement): Promise<number> {
  const { affectedRows, warningStatus } = await write(trx, statement);
  if (warningStatus === 0) return affectedRows;
  interface Warning {
    readonly Level: 'Note' | 'Warning' | 'Error';
    readonly Code: number;
  }
  const warnings = await read(trx, select<Warning>('SHOW WARNINGS', []));
  if (warnings.length < warningStatus) throw new Error('MySQL has not kept all warnings');
  // A warning of the level "note" would not be an error without IGNORE either.
  const other = warnings.find(({ Level, Code }) => Level !== 'Note' && Code !== duplicateEntry);
  if (other) throw new Error(`an INSERT has ignored error ${other.Code}`);
  return affectedRows;
}

/** ER_DUP_ENTRY (MySQL 8.4, "Server Error Message Reference"). */
const duplicateEntry = 1062;

/** A query, several, or none. */
type Queried = Query<unknown> | readonly Query<unknown>[] | undefined;

type ResultOf<Wanted extends Queried> =
  Wanted extends Query<infer Result>
    ? Result
    : Wanted extends readonly Query<infer Result>[]
      ? Result[]
      : undefined;

type Results<Queries extends readonly Queried[]> = {
  -readonly [I in keyof Queries]: ResultOf<Queries[I]>;
};

/**
 * Runs queries, in order and in one round trip, and returns the result of each. In place of a query there can be a
 * list of queries: then there is a list of results. One that is undefined is left out, and so is its result.
 */
export async function readTogether<const Queries extends readonly Queried[]>(
  db: MultiDatabase,
  queries: Queries,
): Promise<Results<Queries>> {
  const given = queries.flat().filter((each) => each !== undefined);
  const found = ((await runTogether(db, given)) as object[][])[Symbol.iterator]();
  const resultOf = (each: Query<unknown>): unknown =>
    each.parse(must(found.next().value, 'the result of a statement'));
  return queries.map((each) => {
    if (each === undefined) return undefined;
    return 'sql' in each ? resultOf(each) : each.map(resultOf);
  }) as Results<Queries>;
}

/**
 * Runs statements that write, in order and in one round trip, and returns what each did. After the
 * first statement that fails, no more are run.
 */
export async function writeTogether(
  db: MultiDatabase,
  statements: readonly Statement[],
): Promise<ResultSetHeader[]> {
  return (await runTogether(db, statements)) as ResultSetHeader[];
}

async function runTogether(
  db: MultiDatabase,
  statements: readonly Statement[],
): Promise<unknown[]> {
  const [results] = (await run(db, {
    sql: statements.map(({ sql }) => sql).join(';\n'),
    bindings: statements.flatMap(({ bindings }) => bindings),
  })) as [unknown[]];
  return statements.length === 1 ? [results] : results;
}

async function run(db: Database, { sql, bindings }: Statement): Promise<unknown> {
  return db.raw(sql, bindings as Knex.RawBinding[]);
}

/**
 * What is bound to `IN (?)`. SQL has no empty list, so an empty one becomes a list of `none` alone. By
 * default that is null, which nothing equals.
 */
export function inList(values: readonly Binding[], none: Binding = null): readonly Binding[] {
  return values.length > 0 ? values : [none];
}

/** A part of a statement, with what is bound to it. */
export function sql(text: string, ...bindings: readonly Binding[]): Statement {
  return { sql: text, bindings };
}

/** A condition on a value. Without a value it is undefined, which {@link allOf} ignores. */
export function ifGiven<Value>(
  value: Value | undefined,
  condition: (value: Value) => Statement,
): Statement | undefined {
  return value === undefined ? undefined : condition(value);
}

/** The condition that all given conditions hold. It is TRUE if none is given. */
export function allOf(...conditions: readonly (Statement | undefined)[]): Statement {
  return allGiven(...conditions) ?? sql('TRUE');
}

/** The condition that all given conditions hold. It is undefined if none is given. */
export function allGiven(...conditions: readonly (Statement | undefined)[]): Statement | undefined {
  const given = conditions.filter((condition) => condition !== undefined);
  if (given.length === 0) return undefined;
  return {
    sql: given.map((condition) => condition.sql).join(' AND '),
    bindings: given.flatMap((condition) => condition.bindings),
  };
}
