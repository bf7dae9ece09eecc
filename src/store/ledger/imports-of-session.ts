import { Keyset, type Page, type WantedPage } from '../../db/cursor';
import { allOf, ifGiven, query, sql, type Query } from '../../db/query';
import { fromBinary, toBinary, type ApplicationId, type SessionId } from '../../model/ids';
import type { SessionKind } from '../../model/session';

/** A copy of a session, as the ledger has it: it may have been erased since. */
export interface ImportedCopy {
  readonly sessionId: SessionId;
  /** The application that has made the copy. */
  readonly applicationId: ApplicationId;
  readonly kind: SessionKind;
  readonly sourceSessionId: SessionId;
  readonly sourceApplicationId: ApplicationId;
}

const keyset = new Keyset([{ name: 'application_id', type: 'id' }], 'ASC');

/** The copies that applications have made of a session, in the order of the applications: each has one at most. */
export function importsOfSession(
  source: SessionId,
  { size, after }: WantedPage,
): Query<Page<ImportedCopy>> {
  type Row = Readonly<Record<'session_id' | 'application_id' | 'source_application_id', Buffer>> & {
    readonly session_kind: SessionKind;
  };
  const wanted = allOf(
    sql('source_session_id = ?', toBinary(source)),
    ifGiven(after, (cursor) => keyset.following(cursor)),
  );
  return query(
    sql(
      `SELECT session_id, application_id, session_kind, source_application_id, ${keyset.select}
       FROM session_imports FORCE INDEX (session_imports_source_session_id_index)
       WHERE ${wanted.sql} ORDER BY ${keyset.orderBy} LIMIT ?`,
      ...[...wanted.bindings, size + 1],
    ),
    (rows: Row[]) =>
      keyset.pageOf(rows, size, (row) => ({
        sessionId: fromBinary(row.session_id),
        applicationId: fromBinary(row.application_id),
        kind: row.session_kind,
        sourceSessionId: source,
        sourceApplicationId: fromBinary(row.source_application_id),
      })),
  );
}
