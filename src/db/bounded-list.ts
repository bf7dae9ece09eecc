import { pageOf, type Cursor, type Keyset, type Page, type WantedPage } from './cursor';
import type { MultiDatabase } from './database';
import {
  allOf,
  ifGiven,
  query,
  readTogether,
  type Binding,
  type Query,
  type Statement,
} from './query';
import { atOneMoment } from './transaction';

/**
 * The most rows that a filter looks at for one page. If few rows match, one call must not read the whole
 * table: its page has fewer rows, or none, and the token of the next page.
 */
const maxScanned = 2_000;

/** A row of a list, and its position there. */
export interface Placed<Item> {
  /** Undefined: the row is left out, so its page is shorter. */
  readonly item: Item | undefined;
  readonly place: Cursor;
}

/** What is listed of a table: rows in the order of an index. */
export interface BoundedList<Row, Item> {
  /** The table, which has the alias `s`. */
  readonly table: string;
  /** The columns of its primary key. */
  readonly key: readonly string[];
  /** The index to walk along; undefined: MySQL chooses it. */
  readonly index?: string;
  readonly keyset: Keyset;
  /** The columns to read, of `s`. */
  readonly columns: string;
  /** Which part of the list it is: conditions on columns of the index. */
  readonly range: Statement;
  /** Conditions on any columns of `s`; undefined: every row of the range is wanted. */
  readonly filter: Statement | undefined;
  /**
   * The item of a row; undefined: it is left out, and its page has one item less. For rows that are rare: unlike
   * `filter`, this does not make MySQL look at more rows.
   */
  readonly itemOf: (row: Row) => Item | undefined;
}

/** The queries for a part of a page. */
export interface ListPart<Item> {
  readonly items: Query<Placed<Item>[]>;
  /** Where the search stops; undefined: it goes to the end of the list. */
  readonly horizon: Query<Cursor[]> | undefined;
}

/** Makes the queries for a page of a list. */
export function listPart<Row extends object, Item>(
  list: BoundedList<Row, Item>,
  { after, size }: WantedPage,
): ListPart<Item> {
  const { table, key, index, keyset, filter } = list;
  const range = allOf(
    list.range,
    ifGiven(after, (cursor) => keyset.following(cursor)),
  );
  const looked = filter ? maxScanned : size + 1;
  const order = `ORDER BY ${keyset.orderBy}`;
  // The index alone answers this part. The rows are looked up only for the keys that it finds.
  const walked = `FROM ?? s ${index === undefined ? '' : `FORCE INDEX (${index})`} WHERE ${range.sql} ${order}`;
  const walkedBindings: Binding[] = [table, ...range.bindings];
  const same = key.map((column) => `s.${column} = k.${column}`).join(' AND ');
  const wanted = filter ?? allOf();
  return {
    items: placed(list, {
      sql: `SELECT ${list.columns}, ${keyset.select}
            FROM (SELECT ${key.map((column) => `s.${column}`).join(', ')} ${walked} LIMIT ?) k
            STRAIGHT_JOIN ?? s FORCE INDEX (PRIMARY) ON ${same}
            WHERE ${wanted.sql} ${order} LIMIT ?`,
      bindings: [...walkedBindings, looked, table, ...wanted.bindings, size + 1],
    }),
    horizon: filter && {
      sql: `SELECT ${keyset.select} ${walked} LIMIT 1 OFFSET ?`,
      bindings: [...walkedBindings, looked - 1],
      parse: (rows) => rows.map((row) => keyset.cursorOf(row as Record<string, unknown>)),
    },
  };
}

/** A part that is read as a whole: it has few rows, however many the table has. */
export function shortPart<Row extends object, Item>(
  list: Pick<BoundedList<Row, Item>, 'keyset' | 'itemOf'>,
  statement: Statement,
): ListPart<Item> {
  return { items: placed(list, statement), horizon: undefined };
}

function placed<Row extends object, Item>(
  { keyset, itemOf }: Pick<BoundedList<Row, Item>, 'keyset' | 'itemOf'>,
  statement: Statement,
): Query<Placed<Item>[]> {
  return query(statement, (rows: (Row & Record<string, unknown>)[]) =>
    rows.map((row) => ({ item: itemOf(row), place: keyset.cursorOf(row) })),
  );
}

/** Reads a page of a list that consists of several parts, in one order. */
export async function readPage<Item>(
  db: MultiDatabase,
  { compare }: Keyset,
  parts: readonly ListPart<Item>[],
  size: number,
): Promise<Page<Item>> {
  const [found, horizons] = await readParts(db, parts);
  const sorted = found.toSorted((a, b) => compare(a.place, b.place));
  // The first place where the search of a part stopped. Items behind it may be incomplete, so they come
  // with a later page.
  const [horizon] = horizons.toSorted(compare);
  const certain = horizon ? sorted.filter(({ place }) => compare(place, horizon) <= 0) : sorted;
  const { items, end } = pageOf(certain, size, ({ place }) => place);
  return {
    items: items.flatMap(({ item }) => (item === undefined ? [] : [item])),
    end: end ?? horizon,
  };
}

async function readParts<Item>(
  db: MultiDatabase,
  parts: readonly ListPart<Item>[],
): Promise<readonly [readonly Placed<Item>[], readonly Cursor[]]> {
  const items = parts.map((part) => part.items);
  const horizons = parts.flatMap(({ horizon }) => horizon ?? []);
  if (horizons.length === 0) return [(await readTogether(db, items)).flat(), []];
  // One snapshot for all queries: if a row were deleted between them, the horizon could be a row that
  // was not looked at.
  return atOneMoment(db, async (trx) => {
    const results = await readTogether(trx, [...items, ...horizons] as (
      | Query<Placed<Item>[]>
      | Query<Cursor[]>
    )[]);
    return [
      results.slice(0, items.length).flat() as Placed<Item>[],
      results.slice(items.length).flat() as Cursor[],
    ];
  });
}
