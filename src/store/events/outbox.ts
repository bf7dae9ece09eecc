import { query, sql, type Query, type Statement } from '../../db/query';
import type { RecordedEvent } from '../../model/events';
import { firstIdOf, fromBinary, toBinary, type Id } from '../../model/ids';
import { must } from '../../model/must';

/** The id of a row of the outbox. */
export type OutboxId = Id<'outbox row'>;

/** The events of one transaction. */
export interface OutboxRow {
  readonly id: OutboxId;
  readonly events: readonly RecordedEvent[];
}

/**
 * Records events, in the transaction of what they report. If an earlier try was committed after all, nothing is
 * recorded again.
 *
 * @param id made before the first try. It can be the id of what the events report.
 * @param events at least one.
 */
export function recordEvents(id: Id<string>, events: readonly RecordedEvent[]): Statement {
  return sql(
    'INSERT INTO event_outbox (id, events) VALUES (?, ?) ON DUPLICATE KEY UPDATE id = event_outbox.id',
    toBinary(id),
    JSON.stringify(events),
  );
}

/**
 * Records an event like {@link recordEvents}, if a row is there that the same transaction may have inserted.
 *
 * @param row SQL of a query for the row.
 */
export function recordEventIf(row: Statement, id: Id<string>, event: RecordedEvent): Statement {
  return sql(
    `INSERT INTO event_outbox (id, events) SELECT ?, ? FROM DUAL WHERE EXISTS (${row.sql})
     ON DUPLICATE KEY UPDATE event_outbox.id = event_outbox.id`,
    toBinary(id),
    JSON.stringify([event]),
    ...row.bindings,
  );
}

/** Whether events wait for their numbers. */
export function eventsWait(): Query<boolean> {
  return query(
    sql('SELECT 1 FROM event_outbox WHERE NOT numbered LIMIT 1'),
    ({ length }) => length > 0,
  );
}

/** Events that wait for their numbers, in the order in which they were recorded. */
export function waitingEvents(limit: number): Query<OutboxRow[]> {
  type Row = Readonly<{ id: Buffer; events: string }>;
  return query(
    sql(
      `SELECT id, events FROM event_outbox FORCE INDEX (event_outbox_numbered_index)
       WHERE numbered = 0 ORDER BY position LIMIT ?`,
      limit,
    ),
    (rows: Row[]) =>
      rows.map(({ id, events }) => ({
        id: fromBinary<OutboxId>(id),
        events: JSON.parse(events) as RecordedEvent[],
      })),
  );
}

/** Says that events have their numbers, and empties their rows. @param ids at least one. */
export function markNumbered(ids: readonly OutboxId[]): Statement {
  return sql(
    "UPDATE event_outbox SET numbered = 1, events = '' WHERE id IN (?)",
    ids.map(toBinary),
  );
}

/** Since when the oldest events have been waiting for their numbers; null: none wait. */
export function oldestWaitingEvents(): Query<Date | null> {
  return query(
    sql(
      `SELECT id FROM event_outbox FORCE INDEX (event_outbox_numbered_index)
       WHERE numbered = 0 ORDER BY position LIMIT 1`,
    ),
    ([row]: { readonly id: Buffer }[]) => (row ? new Date(row.id.readUIntBE(0, 6)) : null),
  );
}

/** How many rows have events that wait for their numbers. @param most where counting stops. */
export function countWaitingEvents(most: number): Query<number> {
  return query(
    sql(
      `SELECT COUNT(*) AS waiting FROM
         (SELECT 1 FROM event_outbox WHERE numbered = 0 LIMIT ?) w`,
      most,
    ),
    ([row]: { readonly waiting: number }[]) => must(row, 'a count').waiting,
  );
}

/** Deletes rows whose events were numbered, and which were made before a moment, at most so many. */
export function deleteNumbered(before: Date, limit: number): Statement {
  return sql(
    'DELETE FROM event_outbox WHERE numbered = 1 AND id < ? ORDER BY id LIMIT ?',
    toBinary(firstIdOf(before)),
    limit,
  );
}
