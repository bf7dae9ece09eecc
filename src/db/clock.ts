import { must } from '../model/must';
import type { Database } from './database';
import { query, read, sql, type Query } from './query';

/**
 * The time by the database's clock. It decides what commands erase, so that they do the same on every machine, even if
 * that machine's clock is wrong.
 */
export function databaseTime(): Query<Date> {
  return query(
    sql('SELECT UTC_TIMESTAMP(3) AS now'),
    ([row]: { readonly now: Date }[]) => must(row, "the database's time").now,
  );
}

/** Reads {@link databaseTime}. */
export function databaseNow(db: Database): Promise<Date> {
  return read(db, databaseTime());
}
