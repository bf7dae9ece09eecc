import type { Knex } from 'knex';
import { fromBinary, toBinary, type ApplicationId, type SessionId } from '../db/ids';
import { readTogether, type Binding, type Statement } from '../db/query';
import { kindSchemas, type KindSchema } from '../import/relations';
import type { SessionKind, SessionStatus } from '../import/session';
import { atOneMoment } from './at-one-moment';
import { summaryColumns, summaryOf, type SessionSummary, type SummaryRow } from './sessions';

/** Which sessions are wanted: everything that is given must hold. */
export interface SessionFilter {
  readonly kinds: readonly SessionKind[];
  /** Empty: any. */
  readonly statuses: readonly SessionStatus[];
  readonly vendorData: string | undefined;
  readonly sharedFromSession: SessionId | undefined;
  readonly sharedFromApplication: ApplicationId | undefined;
  readonly createdSince: Date | undefined;
  readonly createdUntil: Date | undefined;
}

/**
 * Where a page ends: when the session was made, to the microsecond and in UTC, as
 * `2026-01-31T23:59:59.123456`, and its id.
 */
export type SessionPlace = readonly [createdAt: string, id: SessionId];

/** A page of sessions, newest first. */
export interface SessionPage {
  readonly sessions: readonly SessionSummary[];
  /** Where the next page begins; undefined: there is none. */
  readonly end: SessionPlace | undefined;
}

/**
 * How many sessions of each kind are looked at for one page, at most: one that few of them fit must not
 * cost a walk through all.
 */
const lookedAt = 5_000;

type PlacedRow = SummaryRow & { readonly place: string };

/** A moment as text whose order is that of time. */
const placeSql = "DATE_FORMAT(s.created_at, '%Y-%m-%dT%H:%i:%s.%f')";

/**
 * Lists sessions of an application, newest first.
 *
 * @param page at most `size` of them; only those behind `after`.
 */
export async function listSessions(
  db: Knex,
  applicationId: ApplicationId,
  filter: SessionFilter,
  page: { readonly after: SessionPlace | undefined; readonly size: number },
): Promise<SessionPage> {
  const parts = filter.kinds.map((kind) => part(kindSchemas[kind], applicationId, filter, page));
  // Between two moments a session could be deleted, and the horizon be one that was not looked at.
  const results = await atOneMoment(db, (trx) =>
    readTogether<PlacedRow[]>(
      trx,
      parts.flatMap(({ rows, horizon }) => [rows, horizon]),
    ),
  );
  const found = results
    .filter((_, index) => index % 2 === 0)
    .flat()
    .map((row) => ({ row, place: placeOf(row) }))
    .sort((a, b) => comparePlaces(b.place, a.place));
  // The kind whose look ended first: what the other has behind that, comes with a later page.
  const horizon = results
    .filter((_, index) => index % 2 === 1)
    .flat()
    .map(placeOf)
    .sort(comparePlaces)
    .at(-1);
  const certain = horizon ? found.filter(({ place }) => comparePlaces(place, horizon) >= 0) : found;
  const shown = certain.slice(0, page.size);
  return {
    sessions: shown.map(({ row }) => summaryOf(row)),
    end: certain.length > page.size ? shown.at(-1)?.place : horizon,
  };
}

/** What one kind contributes: the rows that fit, and how far they were looked for if not to the end. */
interface Part {
  readonly rows: Statement;
  readonly horizon: Statement;
}

function part(
  schema: KindSchema,
  applicationId: ApplicationId,
  filter: SessionFilter,
  { after, size }: { readonly after: SessionPlace | undefined; readonly size: number },
): Part {
  const range = new Conditions();
  range.add('s.application_id = ?', toBinary(applicationId));
  if (after) {
    const [createdAt, id] = after;
    // In the form that MySQL turns into ranges of the index: see isBehind in rows.ts.
    range.add(
      '(s.created_at < ? OR (s.created_at = ? AND s.id < ?))',
      createdAt,
      createdAt,
      toBinary(id),
    );
  }
  if (filter.createdSince) range.add('s.created_at >= ?', filter.createdSince);
  if (filter.createdUntil) range.add('s.created_at < ?', filter.createdUntil);

  const wanted = new Conditions();
  if (filter.statuses.length > 0) wanted.add('s.status IN (?)', filter.statuses);
  if (filter.sharedFromApplication !== undefined) {
    wanted.add('s.shared_from_application_id = ?', toBinary(filter.sharedFromApplication));
  }
  const narrow = new Conditions();
  if (filter.sharedFromSession !== undefined) {
    narrow.add('s.shared_from_session_id = ?', toBinary(filter.sharedFromSession));
  }
  if (filter.vendorData !== undefined) {
    narrow.add(
      's.vendor_entity_id = (SELECT v.id FROM ?? v WHERE v.application_id = ? AND v.vendor_data = ?)',
      schema.vendorEntities,
      toBinary(applicationId),
      Buffer.from(filter.vendorData, 'utf8'),
    );
  }

  const columns = summaryColumns.replace(/\w+/g, 's.$&');
  const select = `SELECT '${schema.kind}' AS kind, ${columns}, ${placeSql} AS place`;
  const newestFirst = 'ORDER BY s.created_at DESC, s.id DESC';
  if (narrow.isEmpty()) {
    const looked = wanted.isEmpty() ? size + 1 : lookedAt;
    return {
      rows: {
        sql: `${select}
              FROM (SELECT s.id FROM ?? s WHERE ${range.sql} ${newestFirst} LIMIT ?) k
              STRAIGHT_JOIN ?? s FORCE INDEX (PRIMARY) ON s.id = k.id
              WHERE ${wanted.sql} ${newestFirst} LIMIT ?`,
        bindings: [
          schema.sessions,
          ...range.bindings,
          looked,
          schema.sessions,
          ...wanted.bindings,
          size + 1,
        ],
      },
      horizon: {
        sql: `${select} FROM ?? s WHERE ${range.sql} ${newestFirst} LIMIT 1 OFFSET ?`,
        bindings: [schema.sessions, ...range.bindings, looked - 1],
      },
    };
  }
  // An index leads to the few that there are.
  return {
    rows: {
      sql: `${select} FROM ?? s
            WHERE ${range.sql} AND ${wanted.sql} AND ${narrow.sql} ${newestFirst} LIMIT ?`,
      bindings: [
        schema.sessions,
        ...range.bindings,
        ...wanted.bindings,
        ...narrow.bindings,
        size + 1,
      ],
    },
    horizon: { sql: `${select} FROM ?? s WHERE FALSE`, bindings: [schema.sessions] },
  };
}

/** Conditions that all must hold, with what is bound to them. */
class Conditions {
  private readonly texts: string[] = [];
  readonly bindings: Binding[] = [];

  get sql(): string {
    return this.isEmpty() ? 'TRUE' : this.texts.join(' AND ');
  }

  isEmpty(): boolean {
    return this.texts.length === 0;
  }

  add(text: string, ...bindings: readonly Binding[]): void {
    this.texts.push(text);
    this.bindings.push(...bindings);
  }
}

function placeOf(row: PlacedRow): SessionPlace {
  return [row.place, fromBinary<SessionId>(row.id)];
}

/** Older ones first. */
function comparePlaces([a, idOfA]: SessionPlace, [b, idOfB]: SessionPlace): number {
  if (a !== b) return a < b ? -1 : 1;
  return idOfA < idOfB ? -1 : idOfA > idOfB ? 1 : 0;
}
