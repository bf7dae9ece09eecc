import type { Database } from '../../db/database';
import { query, read, sql, type Query, type Statement } from '../../db/query';
import type { ActiveConnection, ConnectedPair } from '../../model/connection';
import { fromBinary, toBinary, type ApplicationId, type ConnectionId } from '../../model/ids';
import { termsColumns, termsOf, type TermsRow } from './terms';

/** A pair as text, to look it up. */
export type PairKey = `${ApplicationId}/${ApplicationId}`;

/** The key of a pair. */
export function pairKey({ sourceApplicationId, recipientApplicationId }: ConnectedPair): PairKey {
  return `${sourceApplicationId}/${recipientApplicationId}`;
}

/** The active connections of some pairs, as they are stored: their certification may be over. At least one pair. */
export function activeConnections(
  pairs: readonly ConnectedPair[],
): Query<ReadonlyMap<PairKey, ActiveConnection>> {
  type Row = TermsRow &
    Readonly<Record<'id' | 'source_application_id' | 'recipient_application_id', Buffer>>;
  const wanted = new Map(pairs.map((pair) => [pairKey(pair), pair]));
  return query(
    sql(
      `SELECT id, source_application_id, recipient_application_id, ${termsColumns.join(', ')}
       FROM session_connections FORCE INDEX (session_connections_active_unique)
       WHERE (source_application_id, recipient_application_id, active) IN (?)`,
      [...wanted.values()].map(({ sourceApplicationId, recipientApplicationId }) => [
        toBinary(sourceApplicationId),
        toBinary(recipientApplicationId),
        1,
      ]),
    ),
    (found: Row[]) =>
      new Map(
        found.map((row) => [
          pairKey({
            sourceApplicationId: fromBinary(row.source_application_id),
            recipientApplicationId: fromBinary(row.recipient_application_id),
          }),
          { id: fromBinary<ConnectionId>(row.id), terms: termsOf(row) },
        ]),
      ),
  );
}

/** The id of the active connection of a pair; undefined: there is none. */
export async function activeId(
  db: Database,
  pair: ConnectedPair,
): Promise<ConnectionId | undefined> {
  const found = await read(db, activeConnections([pair]));
  return found.get(pairKey(pair))?.id;
}

/**
 * Marks connections as used, as the last thing that an import does before COMMIT. If it finds fewer than it was given,
 * one has ended since it was read, and the transaction must be rolled back.
 *
 * Whoever ends a connection writes the same row. So the import has either been committed by then, or it finds that
 * the connection has ended; also if they run on different nodes of a cluster, which do not share locks (see
 * `markRedeemed`). Two imports that rest on one connection wait for each other only while one of them is committed.
 *
 * @param ids each once, at least one.
 */
export function markUsed(ids: readonly ConnectionId[], at: Date): Statement {
  return sql(
    `UPDATE session_connections FORCE INDEX (PRIMARY) SET used_at = ?
     WHERE id IN (?) AND active = 1`,
    at,
    ids.map(toBinary),
  );
}
