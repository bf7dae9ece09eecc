import {
  readColumns,
  readForeignKeys,
  readPrimaryKeys,
  tablesBelow,
  type ColumnsByTable,
  type Reference,
} from '../../db/catalogue';
import type { Database } from '../../db/database';
import type { Statement } from '../../db/query';
import { toBinary, type SessionId } from '../../model/ids';
import { must } from '../../model/must';
import type { KindSchema, Relation } from '../../model/relations';
import { shares, type Scope } from '../../model/scope';
import { readLargeColumns, sizeSql, sizesOfRelation, type LargeColumns } from './size';
import { uncheckedKeys } from './unchecked-keys';
import {
  carriedColumns,
  derivedColumns,
  freshColumns,
  leftBehindColumns,
} from '../sessions/copies';
import { scopeColumn } from '../scope-column';

/** How to clone sessions of one kind, with the columns that this database has: all of a session, or what is shared. */
export interface ClonePlan {
  readonly schema: KindSchema;
  /** What is shared. */
  readonly scope: Scope;
  /** The relations that are shared. */
  readonly relations: readonly PlannedRelation[];
  /**
   * Counts the rows of sessions. Takes one binding: the list of their ids. Returns a row for each session: its id,
   * the number of its rows in each relation, in columns r0, r1 and so on, and as next_log the ordinal that follows
   * those of the log entries that are copied.
   */
  readonly countSql: string;
  /** Measures the large values of sessions: see `largeBytes`. */
  readonly sizeSql: string;
}

/** A relation with the statement that clones its rows for any number of new sessions. */
export interface PlannedRelation extends Relation {
  /**
   * Takes one binding: the list of the new sessions' ids. Each new session names its original, so
   * the sessions table itself is the map from old to new.
   */
  readonly cloneSql: string;
  /** SQL from FROM on: the rows `r` of the session `s` that are copied. */
  readonly rowsSql: string;
  /** SQL for the sizes of the large values of the rows of sessions `s`; undefined: no column has large values. */
  readonly sizesSql: string | undefined;
}

/** The schema of the database does not match the list of relations. */
export class SchemaMismatch extends Error {
  override readonly name = 'SchemaMismatch';
}

/** What plans need to know of the database, for both kinds. */
export interface Catalogue {
  readonly references: readonly Reference[];
  readonly keys: ColumnsByTable;
  readonly columns: ColumnsByTable;
  readonly large: LargeColumns;
}

/** Reads from the database's catalogue what plans need to know. */
export async function readCatalogue(db: Database): Promise<Catalogue> {
  const [references, keys, columns, large] = await Promise.all([
    readForeignKeys(db),
    readPrimaryKeys(db),
    readColumns(db, isStored),
    readLargeColumns(db),
  ]);
  return { references, keys, columns, large };
}

/**
 * Makes the statements that clone a session of one kind, once, when the service starts.
 *
 * @throws SchemaMismatch if a table references sessions by foreign keys, and is neither listed as a
 * relation nor left out on purpose. Also if a listed relation does not exist, does not reference
 * sessions, stands before its parent, or has another key than the list says. Also if a column of
 * sessions is in none of the column lists of `sessions/copies.ts`.
 */
export function planClone(
  db: Database,
  schema: KindSchema,
  { references, keys, columns, large }: Catalogue,
): ClonePlan {
  const problems = [
    ...relationProblems(schema, references),
    ...keyProblems(schema, keys),
    ...sessionColumnProblems(schema, columns.get(schema.sessions) ?? []),
  ];
  if (problems.length > 0) {
    throw new SchemaMismatch(
      ['the database does not fit this version of the service:', ...problems].join('\n  '),
    );
  }
  const relations = schema.relations.map((relation): PlannedRelation => ({
    ...relation,
    cloneSql: cloneSql(
      db,
      schema,
      relation,
      must(columns.get(relation.table), `the columns of ${relation.table}`),
      refersToSessionsAlone(schema, relation.table, references),
    ),
    rowsSql: rowsSql(db, relation),
    sizesSql: sizesOfRelation(db, large, relation),
  }));
  return planOf(schema, null, relations);
}

/**
 * The part of a plan that clones what is shared. None of its statements names a relation that is withheld.
 *
 * @param whole the plan for a whole session.
 */
export function planWithin(whole: ClonePlan, scope: Scope): ClonePlan {
  if (scope === null) return whole;
  const shared = whole.relations.filter(({ name }) => shares(scope, name));
  return planOf(whole.schema, scope, shared);
}

function planOf(
  schema: KindSchema,
  scope: Scope,
  relations: readonly PlannedRelation[],
): ClonePlan {
  return {
    ...{ schema, scope, relations },
    countSql: countSql(schema, relations),
    sizeSql: sizeSql(schema, relations),
  };
}

/** Clones the rows of relations for new sessions, each of which names its original: a statement for each relation. */
export function cloneRows(
  relations: readonly PlannedRelation[],
  ids: readonly SessionId[],
): Statement[] {
  const bindings = [ids.map(toBinary)];
  return relations.map(({ cloneSql: sql }) => ({ sql, bindings }));
}

function relationProblems(schema: KindSchema, references: readonly Reference[]): string[] {
  const listed = schema.relations.map(({ table }) => table);
  const below = tablesBelow(schema.sessions, references);
  const forgotten = [...below]
    .filter((table) => !listed.includes(table) && !schema.leftOut.has(table))
    .map(
      (table) =>
        `table ${table} hangs on ${schema.sessions}, but is neither listed as a relation nor left out on purpose (src/model/relations.ts)`,
    );
  const missing = listed
    .filter((table) => !below.has(table))
    .map((table) => `relation ${table} does not exist or does not hang on ${schema.sessions}`);
  const misplaced = references
    .filter(
      ({ child, parent }) =>
        child !== parent &&
        listed.includes(parent) &&
        listed.includes(child) &&
        listed.indexOf(child) < listed.indexOf(parent),
    )
    .map(({ child, parent }) => `relation ${child} must be listed after its parent ${parent}`);
  return [...forgotten, ...missing, ...misplaced];
}

function keyProblems({ relations }: KindSchema, keys: ColumnsByTable): string[] {
  return relations.flatMap(({ table, key }) => {
    const found = keys.get(table)?.join(', ');
    const said = ['session_id', ...key].join(', ');
    // One that is missing altogether is named elsewhere.
    if (found === undefined || found === said) return [];
    return [
      `relation ${table} is keyed by (${found}), and not by (${said}) (src/model/relations.ts)`,
    ];
  });
}

function sessionColumnProblems(schema: KindSchema, columns: readonly string[]): string[] {
  const known = new Set([
    ...freshColumns,
    ...carriedColumns,
    ...Object.keys(derivedColumns),
    ...leftBehindColumns,
    scopeColumn,
  ]);
  return columns
    .filter((column) => !known.has(column))
    .map(
      (column) =>
        `nobody has said whether a copy takes column ${schema.sessions}.${column} (src/store/sessions/copies.ts)`,
    );
}

/** Whether the foreign key to its session is the only one that a table has. */
function refersToSessionsAlone(
  { sessions }: KindSchema,
  table: string,
  references: readonly Reference[],
): boolean {
  const own = references.filter(({ child }) => child === table);
  return own.length === 1 && own[0]?.parent === sessions;
}

/**
 * The statement is built only from names of the list of relations and of the catalogue.
 *
 * The join order and the index are fixed. An optimizer that has not yet seen the tables grow would
 * read a whole relation, and would look into the index for each id of a long list to estimate rows.
 *
 * @param unchecked whether foreign keys are not checked: see {@link uncheckedKeys}.
 */
function cloneSql(
  db: Database,
  schema: KindSchema,
  relation: Relation,
  columns: readonly string[],
  unchecked: boolean,
): string {
  const quote = (name: string): string => db.ref(name).toQuery();
  const own = columns.filter((column) => column !== 'session_id');
  const quoted = own.map(quote);
  const values = own.map((column, index) => relation.overrides[column] ?? `r.${quoted[index]}`);
  return `
    INSERT ${unchecked ? uncheckedKeys : ''} INTO ${quote(relation.table)} (session_id, ${quoted.join(', ')})
    SELECT s.id, ${values.join(', ')}
    FROM ${quote(schema.sessions)} s FORCE INDEX (PRIMARY)
    STRAIGHT_JOIN ${quote(relation.table)} r FORCE INDEX (PRIMARY)
      ON r.session_id = s.shared_from_session_id
    WHERE s.id IN (?) ${relation.copied === undefined ? '' : `AND ${relation.copied}`}`;
}

function rowsSql(db: Database, { table, copied }: Relation): string {
  return `FROM ${db.ref(table).toQuery()} r
        WHERE r.session_id = s.id ${copied === undefined ? '' : `AND ${copied}`}`;
}

/** Here, a look-up for each session and relation is twice as fast as reading a range of each relation. */
function countSql({ sessions, logs }: KindSchema, relations: readonly PlannedRelation[]): string {
  const counts = relations.map(
    ({ rowsSql: rows }, index) => `(SELECT COUNT(*) ${rows}) AS r${index}`,
  );
  const log = relations.find(({ table }) => table === logs);
  return `
    SELECT ${['s.id', ...counts, `${log ? nextOrdinal(log) : 0} AS next_log`].join(', ')}
    FROM ${sessions} s FORCE INDEX (PRIMARY)
    WHERE s.id IN (?)`;
}

/** SQL for the ordinal that follows those of the rows of the session `s` that are copied. */
function nextOrdinal({ rowsSql: rows }: PlannedRelation): string {
  return `COALESCE((SELECT r.ordinal + 1 ${rows} ORDER BY r.session_id DESC, r.ordinal DESC LIMIT 1), 0)`;
}

/** The condition for a column that the database does not compute by itself. */
const isStored = "COALESCE(GENERATION_EXPRESSION, '') = ''";
