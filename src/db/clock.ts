import { must } from '../model/must';
import { query, sql, type Query } from './query';

/**
 * What the database's clock says. Whatever can't be undone is decided by it, so that a command does the same on every
 * machine, whatever that machine's own clock says.
 */
export function databaseTime(): Query<Date> {
  return query(
    sql('SELECT UTC_TIMESTAMP(3) AS now'),
    ([row]: { readonly now: Date }[]) => must(row, "the database's time").now,
  );
}
