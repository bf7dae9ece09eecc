import type { MultiDatabase } from '../../db/database';
import { Keyset, pageOf, type Cursor, type Page, type WantedPage } from '../../db/cursor';
import {
  allOf,
  ifGiven,
  query,
  readTogether,
  sql,
  type Query,
  type Statement,
} from '../../db/query';
import { atOneMoment } from '../../db/transaction';
import { toBinary, type ApplicationId, type SessionId } from '../../model/ids';
import { kindSchemas, type KindSchema } from '../../model/relations';
import type { SessionKind, SessionStatus } from '../../model/session';
import { vendorEntityIdByName } from '../vendor-entities';
import { summaryColumns, summaryOf, type SessionSummary, type SummaryRow } from './find';

/** Which sessions are wanted: everything that is given must hold. */
export interface SessionFilter {
  readonly kinds: readonly SessionKind[];
  /** Empty: any. */
  readonly statuses: readonly SessionStatus[];
  readonly vendorData: string | undefined;
  readonly sharedFromSession: SessionId | undefined;
  readonly sharedFromApplication: ApplicationId | undefined;
  /** Only sessions created at this time or later. */
  readonly createdSince: Date | undefined;
  /** Only sessions created before this time. */
  readonly createdUntil: Date | undefined;
}

/** The order of the list: the newest first. */
export const sessionKeyset = new Keyset(
  [
    { name: 's.created_at', type: 'moment' },
    { name: 's.id', type: 'id' },
  ],
  'DESC',
);

/**
 * The most sessions of each kind that are looked at for one page. A filter that matches few
 * sessions must not make one call read all of them.
 */
const maxScanned = 5_000;

/** A session, and where it stands in the list. */
interface Placed {
  readonly session: SessionSummary;
  readonly place: Cursor;
}

/** Lists sessions of an application, newest first. */
export async function listSessions(
  db: MultiDatabase,
  applicationId: ApplicationId,
  filter: SessionFilter,
  page: WantedPage,
): Promise<Page<SessionSummary>> {
  const parts = filter.kinds.map((kind) => part(kindSchemas[kind], applicationId, filter, page));
  // One snapshot for all queries: if a session were deleted between them, the horizon could be a
  // session that was not looked at.
  const [found, horizons] = await atOneMoment(db, async (trx) => {
    const results = await readTogether(trx, [
      ...parts.map(({ sessions }) => sessions),
      ...parts.flatMap(({ horizon }) => horizon ?? []),
    ] as (Query<Placed[]> | Query<Cursor[]>)[]);
    const sessions = results.slice(0, parts.length).flat() as Placed[];
    return [sessions, results.slice(parts.length).flat() as Cursor[]];
  });
  const { compare } = sessionKeyset;
  const sorted = found.toSorted((a, b) => compare(a.place, b.place));
  // The first place where the search of a kind stopped. Sessions after it come with a later page.
  const [horizon] = horizons.toSorted(compare);
  const certain = horizon ? sorted.filter(({ place }) => compare(place, horizon) <= 0) : sorted;
  const { items, end } = pageOf(certain, page.size, ({ place }) => place);
  return { items: items.map(({ session }) => session), end: end ?? horizon };
}

/** The queries for one kind: the sessions that match, and how far the search goes. */
interface Part {
  readonly sessions: Query<Placed[]>;
  /** Where the search stops; undefined: it goes to the end of the list. */
  readonly horizon: Query<Cursor[]> | undefined;
}

function part(
  schema: KindSchema,
  applicationId: ApplicationId,
  filter: SessionFilter,
  { after, size }: WantedPage,
): Part {
  const owned = sql('s.application_id = ?', toBinary(applicationId));
  const range = allOf(
    rangeOf(schema, applicationId, filter.vendorData),
    ifGiven(after, (cursor) => sessionKeyset.following(cursor)),
    ifGiven(filter.createdSince, (moment) => sql('s.created_at >= ?', moment)),
    ifGiven(filter.createdUntil, (moment) => sql('s.created_at < ?', moment)),
  );
  const { statuses } = filter;
  const chosen = [
    statuses.length > 0 ? sql('s.status IN (?)', statuses) : undefined,
    ifGiven(filter.sharedFromApplication, (id) =>
      sql('s.shared_from_application_id = ?', toBinary(id)),
    ),
  ];
  const wanted = allOf(...chosen);

  const columns = summaryColumns.map((column) => `s.${column}`).join(', ');
  const select = `SELECT '${schema.kind}' AS kind, ${columns}, ${sessionKeyset.select}`;
  if (filter.sharedFromSession !== undefined) {
    // One at most: an application has one copy of a session.
    const copy = sql('s.shared_from_session_id = ?', toBinary(filter.sharedFromSession));
    const conditions = allOf(owned, copy, range, wanted);
    return {
      sessions: placed({
        sql: `${select} FROM ?? s WHERE ${conditions.sql}`,
        bindings: [schema.sessions, ...conditions.bindings],
      }),
      horizon: undefined,
    };
  }
  const looked = chosen.every((each) => each === undefined) ? size + 1 : maxScanned;
  const newestFirst = `ORDER BY ${sessionKeyset.orderBy}`;
  // An index alone answers this part, so MySQL uses that index. The sessions are looked up after
  // it.
  const walked = `FROM ?? s WHERE ${range.sql} ${newestFirst}`;
  const conditions = allOf(owned, wanted);
  return {
    sessions: placed({
      sql: `${select}
            FROM (SELECT s.id ${walked} LIMIT ?) k
            STRAIGHT_JOIN ?? s FORCE INDEX (PRIMARY) ON s.id = k.id
            WHERE ${conditions.sql} ${newestFirst} LIMIT ?`,
      bindings: [
        schema.sessions,
        ...range.bindings,
        looked,
        schema.sessions,
        ...conditions.bindings,
        size + 1,
      ],
    }),
    horizon: query(
      {
        sql: `SELECT ${sessionKeyset.select} ${walked} LIMIT 1 OFFSET ?`,
        bindings: [schema.sessions, ...range.bindings, looked - 1],
      },
      (rows: Record<string, unknown>[]) => rows.map((row) => sessionKeyset.cursorOf(row)),
    ),
  };
}

function placed(statement: Statement): Query<Placed[]> {
  return query(statement, (rows: (SummaryRow & Record<string, unknown>)[]) =>
    rows.map((row) => ({ session: summaryOf(row), place: sessionKeyset.cursorOf(row) })),
  );
}

/**
 * The condition for an application's sessions, or for those of one of its vendor entities. Either
 * column begins an index that continues with the creation time.
 */
function rangeOf(
  schema: KindSchema,
  applicationId: ApplicationId,
  vendorData: string | undefined,
): Statement {
  if (vendorData === undefined) return sql('s.application_id = ?', toBinary(applicationId));
  const name = { applicationId, vendorData: Buffer.from(vendorData, 'utf8') };
  const { sql: id, bindings } = vendorEntityIdByName(schema, name);
  return { sql: `s.vendor_entity_id = ${id}`, bindings };
}
