import { query, type Query } from '../../db/query';
import { fromBinary, toBinary, type SessionId } from '../../model/ids';
import type { Relation } from '../../model/relations';

/** A document that has expired. */
export interface ExpiredDocument {
  /** Its relation and row. */
  readonly relation: string;
  readonly ordinal: number;
  /** The last day on which it was valid: YYYY-MM-DD. */
  readonly lastDay: string;
}

/** The expired documents of a session. */
export interface ExpiredDocuments {
  /** By relation, then by row: at most {@link mostNamed} of each relation. */
  readonly named: readonly ExpiredDocument[];
  /** How many there are, including those that are not named. */
  readonly count: number;
}

/** How many expired documents of each relation of a session are read at most: no session can fill the memory. */
const mostNamed = 20;

/**
 * The expired documents of sessions, by session. Sessions without any are missing. A document without an expiry
 * never expires.
 *
 * @param relations only documents in these count. At least one must have documents.
 * @param ids at least one.
 * @param today YYYY-MM-DD: documents whose last day is before this have expired.
 */
export function expiredDocuments(
  relations: readonly Relation[],
  ids: readonly SessionId[],
  today: string,
): Query<ReadonlyMap<SessionId, ExpiredDocuments>> {
  interface Row {
    readonly session_id: Buffer;
    readonly relation: string;
    readonly ordinal: number;
    readonly last_day: string;
    readonly documents: number;
  }
  const withDocuments = relations.flatMap(({ name, table, expiry }) =>
    expiry === undefined ? [] : [{ name, table, expiry }],
  );
  const selects = withDocuments.map(
    () =>
      // The day as text, because the driver would turn it into a moment.
      `SELECT r.session_id, ? AS relation, r.ordinal, CAST(r.?? AS CHAR) AS last_day,
         ROW_NUMBER() OVER (PARTITION BY r.session_id ORDER BY r.ordinal) AS place,
         COUNT(*) OVER (PARTITION BY r.session_id) AS documents
       FROM ?? r FORCE INDEX (PRIMARY)
       WHERE r.session_id IN (?) AND r.?? < ?`,
  );
  return query(
    {
      sql: `SELECT session_id, relation, ordinal, last_day, documents
            FROM (${selects.join(' UNION ALL ')}) expired
            WHERE place <= ?
            ORDER BY session_id, relation, ordinal`,
      bindings: [
        ...withDocuments.flatMap(({ name, table, expiry }) => [
          ...[name, expiry, table],
          ...[ids.map(toBinary), expiry, today],
        ]),
        mostNamed,
      ],
    },
    (rows: Row[]) => {
      const found = new Map<SessionId, { named: ExpiredDocument[]; count: number }>();
      for (const row of rows) {
        const id = fromBinary<SessionId>(row.session_id);
        const session = found.get(id) ?? { named: [], count: 0 };
        const { relation, ordinal, last_day: lastDay } = row;
        // Every row has the number of documents of its relation: it is added once for each relation.
        if (session.named.at(-1)?.relation !== relation) session.count += row.documents;
        session.named.push({ relation, ordinal, lastDay });
        found.set(id, session);
      }
      return found;
    },
  );
}
