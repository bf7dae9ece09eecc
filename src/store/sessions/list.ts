import type { MultiDatabase } from '../../db/database';
import {
  listPart,
  readPage,
  shortPart,
  type BoundedList,
  type ListPart,
} from '../../db/bounded-list';
import { Keyset, type Page, type WantedPage } from '../../db/cursor';
import { allGiven, allOf, ifGiven, sql, type Statement } from '../../db/query';
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

/** Lists sessions of an application, newest first. Erased ones are left out, which makes their page shorter. */
export function listSessions(
  db: MultiDatabase,
  applicationId: ApplicationId,
  filter: SessionFilter,
  page: WantedPage,
): Promise<Page<SessionSummary>> {
  const parts = filter.kinds.map((kind) => part(kindSchemas[kind], applicationId, filter, page));
  return readPage(db, sessionKeyset, parts, page.size);
}

/** A row of a list: sessions that were erased are found, and left out. */
type ListedRow = SummaryRow & { readonly erased_at: Date | null };

/** The queries for one kind. */
function part(
  schema: KindSchema,
  applicationId: ApplicationId,
  filter: SessionFilter,
  page: WantedPage,
): ListPart<SessionSummary> {
  const { statuses } = filter;
  const list: BoundedList<ListedRow, SessionSummary> = {
    table: schema.sessions,
    key: ['id'],
    keyset: sessionKeyset,
    columns: `'${schema.kind}' AS kind, s.erased_at, ${summaryColumns.map((column) => `s.${column}`).join(', ')}`,
    range: allOf(
      rangeOf(schema, applicationId, filter.vendorData),
      ifGiven(filter.createdSince, (moment) => sql('s.created_at >= ?', moment)),
      ifGiven(filter.createdUntil, (moment) => sql('s.created_at < ?', moment)),
    ),
    filter: allGiven(
      statuses.length > 0 ? sql('s.status IN (?)', statuses) : undefined,
      ifGiven(filter.sharedFromApplication, (id) =>
        sql('s.shared_from_application_id = ?', toBinary(id)),
      ),
    ),
    itemOf: (row) => (row.erased_at === null ? summaryOf(row) : undefined),
  };
  const { sharedFromSession } = filter;
  return sharedFromSession === undefined
    ? listPart(list, page)
    : copyPart(list, applicationId, sharedFromSession, page);
}

/** The copy of a session: an application has one at most, and an index finds it. */
function copyPart(
  list: BoundedList<ListedRow, SessionSummary>,
  applicationId: ApplicationId,
  original: SessionId,
  { after }: WantedPage,
): ListPart<SessionSummary> {
  const wanted = allOf(
    sql('s.application_id = ?', toBinary(applicationId)),
    sql('s.shared_from_session_id = ?', toBinary(original)),
    list.range,
    ifGiven(after, (cursor) => sessionKeyset.following(cursor)),
    list.filter,
  );
  return shortPart(list, {
    sql: `SELECT ${list.columns}, ${sessionKeyset.select} FROM ?? s WHERE ${wanted.sql}`,
    bindings: [list.table, ...wanted.bindings],
  });
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
