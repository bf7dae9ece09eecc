import type { Knex } from 'knex';
import { fromBinary, toBinary, type ApplicationId, type SessionId } from '../model/ids';
import { readTogether, type Binding, type Statement } from '../db/query';
import { kindSchemas, type KindSchema } from '../model/relations';
import type { SessionKind, SessionStatus } from '../model/session';
import { atOneMoment } from '../db/transaction';
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

/** A row, as far as it says where it stands. */
interface Placed {
  readonly id: Buffer;
  readonly place: string;
}

type PlacedRow = SummaryRow & Placed;

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
    readTogether<Placed[]>(trx, [
      ...parts.map(({ rows }) => rows),
      ...parts.flatMap(({ horizon }) => horizon),
    ]),
  );
  const found = (results.slice(0, parts.length) as PlacedRow[][])
    .flat()
    .map((row) => ({ row, place: placeOf(row) }))
    .sort((a, b) => comparePlaces(b.place, a.place));
  // The kind whose look ended first: what the other has behind that, comes with a later page.
  const horizon = results.slice(parts.length).flat().map(placeOf).sort(comparePlaces).at(-1);
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
  /** Empty: they are looked for to the end. */
  readonly horizon: readonly Statement[];
}

function part(
  schema: KindSchema,
  applicationId: ApplicationId,
  filter: SessionFilter,
  { after, size }: { readonly after: SessionPlace | undefined; readonly size: number },
): Part {
  const range = rangeOf(schema, applicationId, filter.vendorData);
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

  const columns = summaryColumns.replace(/\w+/g, 's.$&');
  const select = `SELECT '${schema.kind}' AS kind, ${columns}, ${placeSql} AS place`;
  const owned = new Conditions();
  owned.add('s.application_id = ?', toBinary(applicationId));
  if (filter.sharedFromSession !== undefined) {
    // One at most: an application has one copy of a session.
    owned.add('s.shared_from_session_id = ?', toBinary(filter.sharedFromSession));
    return {
      rows: {
        sql: `${select} FROM ?? s WHERE ${owned.sql} AND ${range.sql} AND ${wanted.sql}`,
        bindings: [schema.sessions, ...owned.bindings, ...range.bindings, ...wanted.bindings],
      },
      horizon: [],
    };
  }
  const looked = wanted.isEmpty() ? size + 1 : lookedAt;
  const newestFirst = 'ORDER BY s.created_at DESC, s.id DESC';
  // An index alone answers this, so it is the one that MySQL takes; the sessions are looked up behind it.
  const walked = `FROM ?? s WHERE ${range.sql} ${newestFirst}`;
  return {
    rows: {
      sql: `${select}
            FROM (SELECT s.id ${walked} LIMIT ?) k
            STRAIGHT_JOIN ?? s FORCE INDEX (PRIMARY) ON s.id = k.id
            WHERE ${owned.sql} AND ${wanted.sql} ${newestFirst} LIMIT ?`,
      bindings: [
        schema.sessions,
        ...range.bindings,
        looked,
        schema.sessions,
        ...owned.bindings,
        ...wanted.bindings,
        size + 1,
      ],
    },
    horizon: [
      {
        sql: `SELECT s.id, ${placeSql} AS place ${walked} LIMIT 1 OFFSET ?`,
        bindings: [schema.sessions, ...range.bindings, looked - 1],
      },
    ],
  };
}

/**
 * An application's sessions, or those of one of its vendor entities: each begins an index that goes on
 * with the time.
 */
function rangeOf(
  { vendorEntities }: KindSchema,
  applicationId: ApplicationId,
  vendorData: string | undefined,
): Conditions {
  const range = new Conditions();
  if (vendorData === undefined) {
    range.add('s.application_id = ?', toBinary(applicationId));
  } else {
    range.add(
      's.vendor_entity_id = (SELECT v.id FROM ?? v WHERE v.application_id = ? AND v.vendor_data = ?)',
      vendorEntities,
      toBinary(applicationId),
      Buffer.from(vendorData, 'utf8'),
    );
  }
  return range;
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

function placeOf(row: Placed): SessionPlace {
  return [row.place, fromBinary<SessionId>(row.id)];
}

/** Older ones first. */
function comparePlaces([a, idOfA]: SessionPlace, [b, idOfB]: SessionPlace): number {
  if (a !== b) return a < b ? -1 : 1;
  return idOfA < idOfB ? -1 : idOfA > idOfB ? 1 : 0;
}
