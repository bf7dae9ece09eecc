import type { Database } from '../db/connection';
import { fromBinary, toBinary, type ApplicationId, type Id } from '../model/ids';
import { read, readTogether, type Binding, type Statement } from '../db/query';
import type { SessionKind } from '../model/session';
import {
  importColumns,
  importRecord,
  refusalColumns,
  refusalRecord,
  type ImportRecord,
  type ImportRow,
  type RefusalRow,
} from './import-records';

/** Which imports are wanted; what is undefined does not matter. */
export interface ImportFilter {
  readonly kind: SessionKind | undefined;
  /** The application on the other side. */
  readonly otherApplicationId: ApplicationId | undefined;
  /** The first moment. */
  readonly since: Date | undefined;
  /** The first moment that is too late. */
  readonly until: Date | undefined;
}

/** How an attempt ended. */
export type Outcome = 'imported' | 'refused';

/** A page that is wanted. */
interface WantedPage {
  readonly size: number;
  /** Where the page before has ended; undefined: this is the first one. */
  readonly after: ImportCursor | undefined;
}

/**
 * A place in a list of imports: the moment to the microsecond, which a `Date` would round, and what
 * orders those of one moment. Nothing in it is more than the caller may know.
 */
export interface ImportCursor {
  /** In UTC, as `2026-01-31T23:59:59.123456`. */
  readonly at: string;
  readonly ids: readonly Id<string>[];
}

/** A page of imports, the newest first. */
export interface ImportPage {
  readonly imports: readonly ImportRecord[];
  /** Where the next page begins; undefined: this is the last one. */
  readonly end: ImportCursor | undefined;
}

/** A moment with its microseconds. */
const exactMoment = "DATE_FORMAT(created_at, '%Y-%m-%dT%H:%i:%s.%f') AS at";

interface Placed {
  readonly at: string;
}

/** An import and its place in the list. */
interface Entry {
  readonly record: ImportRecord;
  readonly place: ImportCursor;
}

/** Lists what an application has imported and what it was refused. */
export async function listIncoming(
  db: Database,
  application: ApplicationId,
  filter: ImportFilter,
  outcome: Outcome | undefined,
  page: WantedPage,
): Promise<ImportPage> {
  const owned = { sql: 'application_id = ?', bindings: [toBinary(application)] };
  const conditions = [owned, ...conditionsOf(filter, 'source_application_id')];
  const [imported, refused] = await readTogether<
    [ImportRow & Placed, RefusalRow & Placed & { readonly id: Buffer }]
  >(db, [
    // Named, since the primary key begins with the application too: reading and sorting all of it
    // would do for a small ledger.
    select(
      `SELECT ${exactMoment}, ${importColumns}
       FROM session_imports FORCE INDEX (session_imports_application_id_created_at)`,
      outcome === 'refused' ? [nothing] : conditions,
      ['source_session_id'],
      page,
    ),
    select(
      `SELECT ${exactMoment}, id, ${refusalColumns} FROM import_refusals`,
      outcome === 'imported' ? [nothing] : conditions,
      ['id'],
      page,
    ),
  ]);
  const entries = [
    ...importEntries(imported, application, (row) => [row.source_session_id]),
    ...refused.map((row) => ({ record: refusalRecord(row), place: placeOf(row, [row.id]) })),
  ];
  return pageOf(entries.sort(newestFirst), page.size);
}

/** Lists what others have imported of an application's sessions. */
export async function listOutgoing(
  db: Database,
  application: ApplicationId,
  filter: ImportFilter,
  page: WantedPage,
): Promise<ImportPage> {
  const shared = { sql: 'source_application_id = ?', bindings: [toBinary(application)] };
  const { sql, bindings } = select(
    `SELECT ${exactMoment}, ${importColumns}
     FROM session_imports FORCE INDEX (session_imports_source_application_id_created_at)`,
    [shared, ...conditionsOf(filter, 'application_id')],
    ['application_id', 'source_session_id'],
    page,
  );
  const rows = await read<ImportRow & Placed>(db, sql, bindings);
  const entries = importEntries(rows, application, (row) => [
    row.application_id,
    row.source_session_id,
  ]);
  return pageOf(entries, page.size);
}

/** For a statement that is there for its place among others. */
const nothing: Statement = { sql: 'FALSE', bindings: [] };

function conditionsOf(
  { kind, otherApplicationId, since, until }: ImportFilter,
  otherApplication: 'application_id' | 'source_application_id',
): Statement[] {
  const other = otherApplicationId && toBinary(otherApplicationId);
  return [
    ...condition('session_kind = ?', kind),
    ...condition(`${otherApplication} = ?`, other),
    ...condition('created_at >= ?', since),
    ...condition('created_at < ?', until),
  ];
}

function condition(sql: string, value: Binding | undefined): Statement[] {
  return value === undefined ? [] : [{ sql, bindings: [value] }];
}

/**
 * Reads one row more than a page has, so that it shows whether there is another page.
 *
 * @param ids the columns that order what was made in one moment.
 */
function select(
  sql: string,
  conditions: readonly Statement[],
  ids: readonly string[],
  { size, after }: WantedPage,
): Statement {
  const all = after ? [...conditions, beyond(after, ids)] : conditions;
  const order = ['created_at', ...ids].map((column) => `${column} DESC`).join(', ');
  return {
    sql: `${sql} WHERE ${all.map((each) => each.sql).join(' AND ')} ORDER BY ${order} LIMIT ?`,
    bindings: [...all.flatMap((each) => each.bindings), size + 1],
  };
}

/** What comes after a place. The first half is all that an index can use. */
function beyond({ at, ids: last }: ImportCursor, ids: readonly string[]): Statement {
  return {
    sql: `created_at <= ? AND (created_at < ? OR (${ids.join(', ')}) < (?))`,
    bindings: [at, at, last.map(toBinary)],
  };
}

function importEntries(
  rows: readonly (ImportRow & Placed)[],
  viewer: ApplicationId,
  ids: (row: ImportRow) => readonly Buffer[],
): Entry[] {
  return rows.flatMap((row) => {
    const record = importRecord(row, viewer);
    return record ? [{ record, place: placeOf(row, ids(row)) }] : [];
  });
}

function placeOf({ at }: Placed, ids: readonly Buffer[]): ImportCursor {
  return { at, ids: ids.map((id) => fromBinary(id)) };
}

/** As the database orders them: the text of a moment and of an id has the order of what is stored. */
function newestFirst({ place: a }: Entry, { place: b }: Entry): number {
  const [keyA, keyB] = [`${a.at} ${a.ids.join()}`, `${b.at} ${b.ids.join()}`];
  return keyA < keyB ? 1 : keyA > keyB ? -1 : 0;
}

function pageOf(entries: readonly Entry[], size: number): ImportPage {
  const imports = entries.slice(0, size);
  const more = entries.length > size;
  return {
    imports: imports.map(({ record }) => record),
    end: more ? imports.at(-1)?.place : undefined,
  };
}
