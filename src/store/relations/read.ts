import type { TextDatabase } from '../../db/database';
import { readColumns, type ColumnsByTable } from '../../db/catalogue';
import { Keyset, type Cursor } from '../../db/cursor';
import { allOf, ifGiven, query, read, readTogether, sql, type Query } from '../../db/query';
import { atOneMoment } from '../../db/transaction';
import { toBinary, type ApplicationId, type SessionId } from '../../model/ids';
import { must } from '../../model/must';
import { kindSchemas, relationOf, type Relation } from '../../model/relations';
import type { SessionKind } from '../../model/session';
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
   * The range ends with the row whose large values reach this sum, whatever the size of that row.
   * So large rows do not fill the memory of the service.
   */
  readonly bytes: number;
}

/** The rows of a {@link RowRange}. */
export interface RangeRows {
  readonly rows: readonly Row[];
  /** Whether rows within the limit are missing because of their size. */
  readonly more: boolean;
}

/** The order of a relation's rows within a session. */
export function keysetOf({ key }: Relation): Keyset {
  return new Keyset(
    key.map((name) => ({ name, type: 'ordinal' as const })),
    'ASC',
  );
}

/** A session with rows of its relations, all as they were at one moment. */
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

/** The SQL condition for columns whose values can be large. In MariaDB, JSON is LONGTEXT. */
const isLarge = "DATA_TYPE IN ('json', 'text', 'mediumtext', 'longtext')";

/** Reads sessions with what belongs to them. */
export class SessionReader {
  private constructor(private readonly largeColumns: ColumnsByTable) {}

  /** Looks into the database's catalogue for columns that can be large: once, when the service starts. */
  static async create(db: TextDatabase): Promise<SessionReader> {
    return new SessionReader(await readColumns(db, isLarge));
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
      if (!session) return undefined;
      const { relations } = kindSchemas[session.kind];
      const found = await readTogether(
        trx,
        relations.map((relation) => this.range(relation, id, { ...room, after: undefined })),
      );
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
      if (!session) return undefined;
      const { kind } = session;
      const relation = relationOf(kind, name);
      if (!relation) return { kind, found: undefined };
      const rows = await read(trx, this.range(relation, id, range));
      return { kind, found: { relation, rows } };
    });
  }

  /**
   * Reads rows of a relation of a session, in order. MySQL adds up the sizes of the large values,
   * and sends only the rows that fit.
   */
  private range(
    relation: Relation,
    sessionId: SessionId,
    { after, limit, bytes }: RowRange,
  ): Query<RangeRows> {
    const { table } = relation;
    const keyset = keysetOf(relation);
    const key = relation.key.join(', ');
    const large = this.largeColumns.get(table) ?? [];
    const size = large.map(() => 'COALESCE(LENGTH(??), 0)').join(' + ') || '0';
    const wanted = allOf(
      sql('session_id = ?', toBinary(sessionId)),
      ifGiven(after, (cursor) => keyset.following(cursor)),
    );
    const sameRow = relation.key.map((column) => `r.${column} = k.${column}`).join(' AND ');
    return query(
      {
        sql: `SELECT r.*, k.rows_found
              FROM (
                SELECT ${key}, SUM(size) OVER (ORDER BY ${key}) - size AS size_before,
                  COUNT(*) OVER () AS rows_found
                FROM (
                  SELECT ${key}, ${size} AS size FROM ?? FORCE INDEX (PRIMARY)
                  WHERE ${wanted.sql}
                  ORDER BY session_id, ${key} LIMIT ?
                ) s
              ) k
              STRAIGHT_JOIN ?? r FORCE INDEX (PRIMARY) ON r.session_id = ? AND ${sameRow}
              WHERE k.size_before < ?
              ORDER BY ${relation.key.map((column) => `k.${column}`).join(', ')}`,
        bindings: [...large, table, ...wanted.bindings, limit, table, toBinary(sessionId), bytes],
      },
      rangeRows,
    );
  }
}

function rangeRows(found: (Row & { readonly rows_found: number })[]): RangeRows {
  let inRange = 0;
  const rows = found.map(({ rows_found: counted, ...row }) => {
    inRange = counted;
    return row;
  });
  return { rows, more: rows.length < inRange };
}
