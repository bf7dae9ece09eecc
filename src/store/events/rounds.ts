import { query, sql, type Query, type Statement } from '../../db/query';

/*
 * Which process numbers events, and when: a lock on the only row of `event_rounds` is the lease. The process that has
 * locked it numbers events until its transaction ends. If the process dies, the server ends its transaction, and the
 * next process goes on.
 */

/** The only row. */
const id = 1;

/** A time that is further ahead, in seconds, is wrong: the server's clock has been set back. */
const furthest = 60;

/** Whether the row is there. A new database has none, and a restored one may have none. */
export function roundsPrepared(): Query<boolean> {
  return query(sql('SELECT 1 FROM event_rounds WHERE id = ?', id), ({ length }) => length > 0);
}

/** Makes sure that the row is there. */
export function prepareRounds(): Statement {
  return sql(
    `INSERT INTO event_rounds (id, next_at) VALUES (?, '2000-01-01')
     ON DUPLICATE KEY UPDATE next_at = event_rounds.next_at`,
    id,
  );
}

/**
 * Takes the next round, until the transaction ends.
 *
 * @returns false if another process has it, or if it is not yet time for it.
 */
export function takeRound(): Query<boolean> {
  return query(
    sql(
      `SELECT 1 FROM event_rounds FORCE INDEX (PRIMARY)
       WHERE id = ? AND (next_at <= UTC_TIMESTAMP(6) OR next_at > UTC_TIMESTAMP(6) + INTERVAL ${furthest} SECOND)
       FOR UPDATE SKIP LOCKED`,
      id,
    ),
    ({ length }) => length > 0,
  );
}

/**
 * Says when the next round begins. Every round that numbers something writes this. So if two rounds run on different
 * nodes of a cluster, which do not share locks, only one of them is committed.
 *
 * @param pause in milliseconds from now, at most {@link furthest} seconds.
 */
export function planRound(pause: number): Statement {
  return sql(
    'UPDATE event_rounds SET next_at = UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND WHERE id = ?',
    pause * 1_000,
    id,
  );
}
