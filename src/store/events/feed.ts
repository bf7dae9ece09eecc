import { query, sql, type Query, type Statement } from '../../db/query';
import { groupBy } from '../../model/collections';
import type { SequencedEvent, ToldEvent } from '../../model/events';
import { fromBinary, toBinary, type ApplicationId } from '../../model/ids';

/** The events that were numbered together for one application. */
export interface NewFeedRow {
  readonly applicationId: ApplicationId;
  /** At least one. */
  readonly events: readonly ToldEvent[];
  /** The number of the last of the events. */
  readonly lastSequence: number;
}

/** A place in the feed of an application. */
export interface FeedPlace {
  readonly applicationId: ApplicationId;
  /** The cursor: the number of the last event that is known. */
  readonly after: number;
}

/**
 * The number of the newest event of each of these applications; a feed without events is missing. Sorted by all columns
 * of the primary key, the newest row is the first that MySQL looks at. With `last_sequence` alone, it reads all rows of
 * the feed.
 *
 * @param ids at least one.
 */
export function lastSequences(
  ids: readonly ApplicationId[],
): Query<ReadonlyMap<ApplicationId, number>> {
  const newest = `(SELECT application_id, last_sequence FROM session_events WHERE application_id = ?
    ORDER BY application_id DESC, last_sequence DESC LIMIT 1)`;
  return query(
    sql(ids.map(() => newest).join(' UNION ALL '), ...ids.map(toBinary)),
    (rows: { readonly application_id: Buffer; readonly last_sequence: number }[]) =>
      new Map(rows.map((row) => [fromBinary(row.application_id), row.last_sequence])),
  );
}

/** Adds rows to feeds. @param rows at least one. */
export function addToFeeds(rows: readonly NewFeedRow[], at: Date): Statement {
  return sql(
    'INSERT INTO session_events (application_id, last_sequence, created_at, events) VALUES ?',
    rows.map(({ applicationId, lastSequence, events }) => [
      toBinary(applicationId),
      lastSequence,
      at,
      JSON.stringify(events),
    ]),
  );
}

/** A part of a feed, without gaps. */
export interface FeedPart {
  /** In the order of their numbers. */
  readonly events: readonly SequencedEvent[];
  /** The number before that of the first event; the cursor itself, unless events after it were deleted. */
  readonly after: number;
  /** Whether as many rows were found as were looked for, so that there may be more. */
  readonly full: boolean;
}

/**
 * What follows a place of each of some feeds. Feeds in which nothing follows are missing.
 *
 * @param places of different applications, at least one.
 * @param limit the most rows of each feed. A row has up to {@link mostEventsOfRow} events.
 */
export function feedParts(
  places: readonly FeedPlace[],
  limit: number,
): Query<ReadonlyMap<ApplicationId, FeedPart>> {
  type Row = FeedRow & { readonly application_id: Buffer };
  const part = `(SELECT application_id, last_sequence, events FROM session_events
    WHERE application_id = ? AND last_sequence > ? ORDER BY last_sequence LIMIT ?)`;
  return query(
    sql(
      places.map(() => part).join(' UNION ALL '),
      ...places.flatMap(({ applicationId, after }) => [toBinary(applicationId), after, limit]),
    ),
    (rows: Row[]) => {
      const found = groupBy(rows, (row) => fromBinary<ApplicationId>(row.application_id));
      return new Map(
        places.flatMap(({ applicationId, after }) => {
          const ofFeed = found.get(applicationId);
          return ofFeed ? [[applicationId, partOf(ofFeed, after, limit)] as const] : [];
        }),
      );
    },
  );
}

/** @param rows at least one, in any order. */
function partOf(rows: readonly FeedRow[], after: number, limit: number): FeedPart {
  const events = rows
    .toSorted((a, b) => a.last_sequence - b.last_sequence)
    .flatMap(eventsOfRow)
    .filter(({ sequence }) => sequence > after);
  const [first] = events;
  return {
    events,
    after: first ? first.sequence - 1 : after,
    full: rows.length === limit,
  };
}

/** The most events of a row. */
export const mostEventsOfRow = 100;

interface FeedRow {
  readonly last_sequence: number;
  /** JSON. */
  readonly events: string;
}

function eventsOfRow(row: FeedRow): SequencedEvent[] {
  const events = JSON.parse(row.events) as ToldEvent[];
  const first = row.last_sequence - events.length + 1;
  return events.map((event, index) => ({ ...event, sequence: first + index }));
}

/** The application with the next feed, in the order of ids; undefined: there is none. */
export function nextFeed(after: ApplicationId | undefined): Query<ApplicationId | undefined> {
  return query(
    after === undefined
      ? sql('SELECT application_id FROM session_events ORDER BY application_id LIMIT 1')
      : sql(
          `SELECT application_id FROM session_events WHERE application_id > ?
           ORDER BY application_id LIMIT 1`,
          toBinary(after),
        ),
    ([row]: { readonly application_id: Buffer }[]) =>
      row && fromBinary<ApplicationId>(row.application_id),
  );
}

/** A row of a feed, without its events. */
export interface FeedRowKey {
  readonly lastSequence: number;
  readonly createdAt: Date;
}

/** The oldest rows of a feed that follow a number. */
export function oldestOfFeed(
  { applicationId, after }: FeedPlace,
  limit: number,
): Query<FeedRowKey[]> {
  return query(
    sql(
      `SELECT last_sequence, created_at FROM session_events
       WHERE application_id = ? AND last_sequence > ? ORDER BY last_sequence LIMIT ?`,
      toBinary(applicationId),
      after,
      limit,
    ),
    (rows: { readonly last_sequence: number; readonly created_at: Date }[]) =>
      rows.map((row) => ({ lastSequence: row.last_sequence, createdAt: row.created_at })),
  );
}

/** Deletes the rows of a feed up to one, that one included. */
export function deleteFromFeed(applicationId: ApplicationId, upTo: number): Statement {
  return sql(
    'DELETE FROM session_events WHERE application_id = ? AND last_sequence <= ?',
    toBinary(applicationId),
    upTo,
  );
}
