import type { Knex } from 'knex';

/**
 * Lets all that is read be of one moment, without a lock (MySQL 8.4 manual, section 17.7.2.3). Not said
 * to be READ ONLY: beside an isolation level, Knex writes that without the comma that MySQL wants.
 */
export function atOneMoment<T>(db: Knex, work: (trx: Knex.Transaction) => Promise<T>): Promise<T> {
  return db.transaction(work, { isolationLevel: 'repeatable read' });
}
