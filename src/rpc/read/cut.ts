import type { Cursor } from '../../db/cursor';
import type { Relation } from '../../model/relations';
import type { RangeRows, Row } from '../../store/relations/read';
import { jsonRow, sizeOf } from './wire-relations';

/** The rows that fit into a page, and the cursor of the page's end if more rows follow. */
export interface CutRows {
  readonly shown: readonly Row[];
  /** Undefined: there are no more. */
  readonly end: Cursor | undefined;
}

/** The limits of a page. */
export interface Room {
  readonly rows: number;
  readonly bytes: number;
  /** Whether the first row is shown whatever its size. */
  readonly always: boolean;
}

/** The place before all rows of a relation. */
const beforeAll = -1;

/**
 * Cuts rows of a relation to the size of a page.
 *
 * The rows must be in order, with values as in the database. There must be one row more than the
 * page may have, unless there are no more or they are too large.
 */
export function cut(relation: Relation, { rows, more }: RangeRows, room: Room): CutRows {
  const shown: Row[] = [];
  let bytes = 0;
  for (const found of rows.slice(0, room.rows)) {
    const row = jsonRow(relation, found);
    bytes += sizeOf(relation, row);
    if (bytes > room.bytes && !(room.always && shown.length === 0)) break;
    shown.push(row);
  }
  if (shown.length === rows.length && !more) return { shown, end: undefined };
  return { shown, end: endOf(relation, shown) };
}

/** Where the next page begins: behind the last row that is shown. */
export function endOf({ key }: Relation, shown: readonly Row[]): Cursor {
  const last = shown.at(-1);
  return key.map((column) => (last ? (last[column] as number) : beforeAll));
}
