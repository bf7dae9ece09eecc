import { fromBinary, toBinary, type Id } from '../model/ids';
import { must } from '../model/must';
import { sql, type Binding, type Statement } from './query';

/**
 * A position in a list: the values of the key columns of one row. If a list is continued from a cursor, no row
 * is skipped or repeated, whatever is added meanwhile.
 */
export type Cursor = readonly (string | number)[];

/** A column that orders a list. */
interface KeyColumn {
  /** Its name in the statement, with the table's where that is needed. */
  readonly name: string;
  /** `moment`: DATETIME(6). `id`: a UUID in BINARY(16). `ordinal`: a whole number. */
  readonly type: 'moment' | 'id' | 'ordinal';
}

/** A page of a list: some of its rows, and the cursor after which the next page begins. */
export interface Page<Item> {
  readonly items: readonly Item[];
  /** Undefined: there are no more. */
  readonly end: Cursor | undefined;
}

/** A page that is wanted: at most `size` rows, of those that follow `after`. */
export interface WantedPage {
  readonly size: number;
  /** The end of the previous page; undefined: this is the first page. */
  readonly after: Cursor | undefined;
}

/** A row, with the exact moments that {@link Keyset.select} adds to it. */
type Row = Readonly<Record<string, unknown>>;

/** The order of a list, by columns whose values together are unique in it: keyset pagination. */
export class Keyset {
  /** @param direction of all columns. */
  constructor(
    readonly columns: readonly KeyColumn[],
    private readonly direction: 'ASC' | 'DESC',
  ) {}

  /** What goes behind ORDER BY. */
  get orderBy(): string {
    return this.columns.map(({ name }) => `${name} ${this.direction}`).join(', ');
  }

  /** What has to be selected for {@link cursorOf}: moments to the microsecond, which a `Date` rounds. */
  get select(): string {
    return this.columns
      .map(({ name, type }) => {
        if (type !== 'moment') return `${name} AS ${aliasOf(name)}`;
        return `DATE_FORMAT(${name}, '%Y-%m-%dT%H:%i:%s.%f') AS ${aliasOf(name)}`;
      })
      .join(', ');
  }

  /** The cursor of a row that was read with the columns of {@link select}. */
  cursorOf(row: Row): Cursor {
    return this.columns.map(({ name, type }) => {
      const value = must(row[aliasOf(name)], `the column ${name} of a list`);
      return type === 'id' ? fromBinary<Id<string>>(value as Buffer) : (value as string | number);
    });
  }

  /**
   * The condition that a row follows a cursor. MySQL turns this form into ranges of the index that
   * begin right after the cursor. With `a <= ? AND (a < ? OR b < ?)`, each page would read the rows
   * of the pages before it again.
   */
  following(cursor: Cursor): Statement {
    const beyond = this.direction === 'ASC' ? '>' : '<';
    const bound = this.columns.map((column, index) =>
      bindingOf(column, must(cursor[index], `the value of ${column.name} in a cursor`)),
    );
    const [first, ...others] = this.columns.map(({ name }, index) => {
      const before = this.columns.slice(0, index).map((column) => `${column.name} = ?`);
      return sql([...before, `${name} ${beyond} ?`].join(' AND '), ...bound.slice(0, index + 1));
    });
    const ways = first ? [first, ...others] : [];
    return sql(
      `(${ways.map((way) => way.sql).join(' OR ')})`,
      ...ways.flatMap(({ bindings }) => bindings),
    );
  }

  /**
   * Makes a page of rows that were read with the columns of {@link select}, and with a limit of the page size plus one.
   *
   * @param itemOf returns the item of a row.
   */
  pageOf<Found extends object, Item>(
    rows: readonly Found[],
    size: number,
    itemOf: (row: Found) => Item,
  ): Page<Item> {
    const { items, end } = pageOf(rows, size, (row) => this.cursorOf(row as Row));
    return { items: items.map(itemOf), end };
  }

  /** Compares two cursors, for sorting. The text form of times and ids sorts like their values. */
  readonly compare = (a: Cursor, b: Cursor): number => {
    const [before, behind] = this.direction === 'ASC' ? [-1, 1] : [1, -1];
    for (const [index, valueOfA] of a.entries()) {
      const valueOfB = must(b[index], 'a value of a cursor');
      if (valueOfA !== valueOfB) return valueOfA < valueOfB ? before : behind;
    }
    return 0;
  };
}

/**
 * Makes a page. The rows must have been read with a limit of the page size plus one.
 *
 * @param cursorOf returns the cursor of an item.
 */
export function pageOf<Item>(
  found: readonly Item[],
  size: number,
  cursorOf: (item: Item) => Cursor,
): Page<Item> {
  const items = found.slice(0, size);
  const last = items.at(-1);
  return { items, end: found.length > size && last !== undefined ? cursorOf(last) : undefined };
}

/**
 * Reads a whole list, page by page.
 *
 * @param read reads one page.
 */
export async function* pagesOf<Item>(
  size: number,
  read: (page: WantedPage) => Promise<Page<Item>>,
): AsyncGenerator<readonly Item[]> {
  let after: Cursor | undefined;
  do {
    const { items, end } = await read({ size, after });
    yield items;
    after = end;
  } while (after !== undefined);
}

function aliasOf(name: string): string {
  return `place_${name.replace('.', '_')}`;
}

function bindingOf({ type }: KeyColumn, value: string | number): Binding {
  return type === 'id' ? toBinary(value as Id<string>) : value;
}
