import { query, sql, type Query } from '../../db/query';
import { fromBinary, toBinary, type SessionId } from '../../model/ids';
import type { KindSchema } from '../../model/relations';
import type { DetailName } from '../../model/scope';

/**
 * Which of the sessions have filled details of this name: JSON that is neither `null` nor empty. The sessions should be
 * locked, so that nobody changes the details.
 *
 * @param ids at least one.
 */
export function sessionsWithDetails(
  { sessions }: KindSchema,
  name: DetailName,
  ids: readonly SessionId[],
): Query<ReadonlySet<SessionId>> {
  return query(
    sql(
      `SELECT s.id FROM ${sessions} s FORCE INDEX (PRIMARY)
       WHERE s.id IN (?) AND JSON_LENGTH(s.${name}) > 0 AND JSON_TYPE(s.${name}) <> 'NULL'`,
      ids.map(toBinary),
    ),
    (found: { readonly id: Buffer }[]) => new Set(found.map(({ id }) => fromBinary<SessionId>(id))),
  );
}
