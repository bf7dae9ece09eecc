import { query, sql, type Query, type Statement } from '../../db/query';
import { toBinary, type SessionId } from '../../model/ids';
import { must } from '../../model/must';
import type { KindSchema, Relation } from '../../model/relations';

/** The relations in which a session has rows, children before their parents: the order in which they are deleted. */
export function filledRelations(
  { relations }: KindSchema,
  id: SessionId,
): Query<readonly Relation[]> {
  const backwards = relations.toReversed();
  const looks = backwards.map(
    (_, index) => `EXISTS (SELECT 1 FROM ?? WHERE session_id = ?) AS r${index}`,
  );
  return query(
    sql(`SELECT ${looks.join(', ')}`, ...backwards.flatMap(({ table }) => [table, toBinary(id)])),
    ([row]: Record<string, number>[]) =>
      backwards.filter((_, index) => must(row, 'one row')[`r${index}`] === 1),
  );
}

/** Deletes rows of a session from a relation, at most so many. Those of its children must be deleted before. */
export function deleteRows({ table, key }: Relation, id: SessionId, limit: number): Statement {
  return sql(
    `DELETE FROM ?? WHERE session_id = ? ORDER BY ${key.join(', ')} LIMIT ?`,
    ...[table, toBinary(id), limit],
  );
}

/** How many rows a session has in all its relations. */
export function countAllRows({ relations }: KindSchema, id: SessionId): Query<number> {
  const counts = relations.map(() => '(SELECT COUNT(*) FROM ?? WHERE session_id = ?)');
  return query(
    sql(
      `SELECT ${counts.join(' + ')} AS found`,
      ...relations.flatMap(({ table }) => [table, toBinary(id)]),
    ),
    ([row]: { readonly found: number }[]) => must(row, 'a count').found,
  );
}
