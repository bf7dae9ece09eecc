import type { TextDatabase, TransactionOf } from '../../db/database';
import { Keyset, type Cursor } from '../../db/cursor';
import { allOf, ifGiven, query, read, readTogether, sql, type Query } from '../../db/query';
import { atOneMoment } from '../../db/transaction';
import { toBinary, type ApplicationId, type SessionId } from '../../model/ids';
import { must } from '../../model/must';
import { kindSchemas, relationOf, type Relation } from '../../model/relations';
import type { SessionKind } from '../../model/session';
import { requireWritable } from '../session-numbers';
import { readLargeColumns, sizeOfRow } from './size';
import { sessionById, sessionDetailsById, type SessionDetails } from '../sessions/find';

/** A row of a relation, by the names of its columns. */
export type Row = Readonly<Record<string, unknown>>;

/** Some rows of a relation that follow each other. */
export interface RowRange {
  /** The range begins after this cursor; undefined: with the first row. */
  readonly after: Cursor | undefined;
  /** The most rows. */
  readonly limit: number;
  /**
   * The range ends before the row whose large values would exceed this sum (see `sizeOfRow`). So large rows do not fill
   * the memory of the service: MySQL measures that row, and does not send it.
   */
  readonly bytes: number;
  /** Whether the first row is read whatever its size. */
  readonly always: boolean;
}

/** The rows of a {@link RowRange}. */
export interface RangeRows {
  readonly rows: readonly Row[];
  /** Whether rows within the limit may be missing because of their size. */
  readonly more: boolean;
}

/** The order of a relation's rows within a session. */
export function keysetOf({ key }: Relation): Keyset {
  return new Keyset(
    key.map((name) => ({ name, type: 'ordinal' as const })),
    'ASC',
  );
}

/** A session with rows of its relations, from one snapshot. */
export interface SessionReading {
  readonly session: SessionDetails;
  /** By relation, in order. */
  readonly rows: ReadonlyMap<Relation, RangeRows>;
}

/** Some rows of one relation, and the kind of session that they belong to. */
export interface RowsReading {
  readonly kind: SessionKind;
  /** Undefined: sessions of that kind have no such relation. */
  readonly found: { readonly relation: Relation; readonly rows: RangeRows } | undefined;
}

/** Reads sessions with their relations. */
export class SessionReader {
  /** @param sizes by table, SQL for the size of the large values of the row `z`. */
  private constructor(private readonly sizes: ReadonlyMap<string, string>) {}

  /** Finds in the database's catalogue the columns that can be large. Run once, when the service starts. */
  static async create(db: TextDatabase): Promise<SessionReader> {
    const large = await readLargeColumns(db);
    const tables = Object.values(kindSchemas).flatMap(({ relations }) =>
      relations.map(({ table }) => table),
    );
    return new SessionReader(
      new Map(tables.map((table) => [table, sizeOfRow(db, large, table, 'z') ?? '0'])),
    );
  }

  /**
   * Reads a session of an application, and the first rows of each of its relations.
   *
   * @param room the limits for each relation.
   * @returns undefined if the application has no such session.
   */
  async readSession(
    db: TextDatabase,
    applicationId: ApplicationId,
    id: SessionId,
    room: Omit<RowRange, 'after'>,
  ): Promise<SessionReading | undefined> {
    return atOneMoment(db, async (trx) => {
      const session = await read(trx, sessionDetailsById(id, applicationId));
      if (!session) {
        await requireWritable(trx);
        return undefined;
      }
      const { relations } = kindSchemas[session.kind];
      const found = await this.ranges(trx, id, relations, room);
      const byRelation = relations.map(
        (relation, index) => [relation, must(found[index], relation.name)] as const,
      );
      return { session, rows: new Map(byRelation) };
    });
  }

  /**
   * Reads rows of one relation of a session of an application.
   *
   * @returns undefined if the application has no such session.
   */
  async readRows(
    db: TextDatabase,
    applicationId: ApplicationId,
    id: SessionId,
    name: string,
    range: RowRange,
  ): Promise<RowsReading | undefined> {
    return atOneMoment(db, async (trx) => {
      const session = await read(trx, sessionById(id, applicationId));
      if (!session) {
        await requireWritable(trx);
        return undefined;
      }
      const { kind } = session;
      const relation = relationOf(kind, name);
      if (!relation) return { kind, found: undefined };
      return {
        kind,
        found: { relation, rows: await read(trx, this.rowsOneByOne(relation, id, range)) },
      };
    });
  }

  /**
   * Reads the first rows of some relations of a session, in order. MySQL itself adds up the sizes of the
   * large values, and sends only the rows that fit. Most relations have few rows: they are read in one
   * round trip.
   */
  private async ranges(
    trx: TransactionOf<TextDatabase>,
    sessionId: SessionId,
    relations: readonly Relation[],
    room: Omit<RowRange, 'after'>,
  ): Promise<RangeRows[]> {
    const limit = Math.min(room.limit, rowsOfFirstLook);
    const first = await readTogether(
      trx,
      relations.map((relation) => this.firstRows(relation, sessionId, { ...room, limit })),
    );
    const long = relations.flatMap((relation, index) => {
      const { rows, size } = must(first[index], relation.name);
      const last = rows.at(limit - 1);
      if (!last || limit === room.limit) return [];
      const after = relation.key.map((column) => last[column] as number);
      const rest = { after, limit: room.limit - limit, bytes: room.bytes - size, always: false };
      return [{ index, statement: this.rowsOneByOne(relation, sessionId, rest) }];
    });
    if (long.length === 0) return first;
    const next = await readTogether(
      trx,
      long.map(({ statement }) => statement),
    );
    const found: RangeRows[] = [...first];
    for (const [position, { index }] of long.entries()) {
      const { rows, more } = must(next[position], 'the rows behind the first ones');
      found[index] = { rows: [...must(found[index], 'the first rows').rows, ...rows], more };
    }
    return found;
  }

  /**
   * Reads the first rows of a relation. They are few, so the sizes of all of them are added up: for a session with its
   * relations, this takes MySQL half as long as {@link rowsOneByOne}.
   */
  private firstRows(
    relation: Relation,
    sessionId: SessionId,
    { limit, bytes, always }: Omit<RowRange, 'after'>,
  ): Query<MeasuredRows> {
    const { table, key, session, size, wanted } = this.partsOf(relation, sessionId, undefined);
    return query(
      {
        sql: `SELECT r.*, k.rows_found, k.size_so_far
              FROM (
                SELECT ${key}, ROW_NUMBER() OVER (ORDER BY ${key}) AS place,
                  size, SUM(size) OVER (ORDER BY ${key}) AS size_so_far, COUNT(*) OVER () AS rows_found
                FROM (
                  SELECT ${key}, ${size} AS size FROM ?? z FORCE INDEX (PRIMARY)
                  WHERE ${wanted.sql}
                  ORDER BY session_id, ${key} LIMIT ?
                ) s
              ) k
              LEFT JOIN ?? r FORCE INDEX (PRIMARY)
                ON r.session_id = ? AND ${sameRow(relation, 'r', 'k')} AND ${fits('k')}
              WHERE k.size_so_far - k.size <= ?
              ORDER BY k.place`,
        bindings: [
          ...[table, ...wanted.bindings, limit],
          ...[table, session, bytes, always],
          bytes,
        ],
      },
      rangeRows,
    );
  }

  /**
   * Reads the rows of a range. It goes from row to row, by a recursive expression (MySQL 8.4
   * manual, section 15.2.20), and stops at the row with which the sum reaches or exceeds `bytes`. To add up the sizes
   * of all rows within the limit, InnoDB would have to read the large values of all of them.
   */
  private rowsOneByOne(
    relation: Relation,
    sessionId: SessionId,
    { after, limit, bytes, always }: RowRange,
  ): Query<MeasuredRows> {
    const { table, key, session, size, wanted } = this.partsOf(relation, sessionId, after);
    const sizeOfNext = `(SELECT ${size} FROM ?? z FORCE INDEX (PRIMARY)
                        WHERE z.session_id = ? AND ${sameRow(relation, 'z', 'k')})`;
    const ofRow = [table, session];
    return query(
      {
        sql: `WITH RECURSIVE
                k AS (
                  SELECT ${key}, ROW_NUMBER() OVER (ORDER BY ${key}) AS place,
                    COUNT(*) OVER () AS rows_found
                  FROM (
                    SELECT ${key} FROM ?? FORCE INDEX (PRIMARY)
                    WHERE ${wanted.sql}
                    ORDER BY session_id, ${key} LIMIT ?
                  ) w
                ),
                f AS (
                  SELECT k.*, CAST(${sizeOfNext} AS UNSIGNED) AS size_so_far FROM k WHERE place = 1
                  UNION ALL
                  SELECT k.*, f.size_so_far + ${sizeOfNext}
                  FROM f STRAIGHT_JOIN k ON k.place = f.place + 1
                  WHERE f.size_so_far < ?
                )
              SELECT r.*, f.rows_found, f.size_so_far
              FROM f LEFT JOIN ?? r FORCE INDEX (PRIMARY)
                ON r.session_id = ? AND ${sameRow(relation, 'r', 'f')} AND ${fits('f')}
              ORDER BY f.place`,
        bindings: [
          ...[table, ...wanted.bindings, limit],
          ...ofRow,
          ...[...ofRow, bytes],
          ...[table, session, bytes, always],
        ],
      },
      rangeRows,
    );
  }

  /** What the statements for the first and for the other rows have in common. */
  private partsOf(relation: Relation, sessionId: SessionId, after: Cursor | undefined) {
    const session = toBinary(sessionId);
    return {
      table: relation.table,
      key: relation.key.join(', '),
      session,
      size: must(this.sizes.get(relation.table), relation.table),
      wanted: allOf(
        sql('session_id = ?', session),
        ifGiven(after, (cursor) => keysetOf(relation).following(cursor)),
      ),
    };
  }
}

/** How many rows of each relation are read before it is known how large they are. */
const rowsOfFirstLook = 8;

/** Rows with the size of their large values, in bytes. */
interface MeasuredRows extends RangeRows {
  readonly size: number;
}

/**
 * A row with the number of rows found, and the sum of the sizes up to this row: a decimal, as text. In a row
 * that does not fit, all columns of the table are null.
 */
type MeasuredRow = Row & {
  readonly session_id: Buffer | null;
  readonly rows_found: number;
  readonly size_so_far: string | number;
};

/** The condition that two rows have the same key within their session. */
function sameRow({ key }: Relation, a: string, b: string): string {
  return key.map((column) => `${a}.${column} = ${b}.${column}`).join(' AND ');
}

/** The condition that a row fits. It takes two bindings: `bytes`, and `always`. */
function fits(row: string): string {
  return `(${row}.size_so_far <= ? OR (? AND ${row}.place = 1))`;
}

function rangeRows(found: readonly MeasuredRow[]): MeasuredRows {
  const fitting = found.filter(({ session_id }) => session_id !== null);
  return {
    rows: fitting.map(({ rows_found: _found, size_so_far: _size, ...row }): Row => row),
    more: fitting.length < (found[0]?.rows_found ?? 0),
    size: Number(fitting.at(-1)?.size_so_far ?? 0),
  };
}
