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

/** Which of some sessions were imported. @param ids at least one. */
export function importedSessions(ids: readonly SessionId[]): Query<ReadonlySet<SessionId>> {
  return query(
    sql(
      `SELECT DISTINCT source_session_id FROM session_imports
       FORCE INDEX (session_imports_source_session_id_index) WHERE source_session_id IN (?)`,
      ids.map(toBinary),
    ),
    (rows: { readonly source_session_id: Buffer }[]) =>
      new Set(rows.map((row) => fromBinary<SessionId>(row.source_session_id))),
  );
}

/** A session that was imported. */
export interface ImportedSource {
  readonly sessionId: SessionId;
  readonly applicationId: ApplicationId;
  readonly kind: SessionKind;
  /** The application that has imported it. */
  readonly importedBy: ApplicationId;
}

const sliceKeyset = new Keyset(
  [
    { name: 'application_id', type: 'id' },
    { name: 'source_session_id', type: 'id' },
  ],
  'ASC',
);

/** The sources of the imports, in the order of the ledger. A session is listed once for each of its copies. */
export function importedSources({ size, after }: WantedPage): Query<Page<ImportedSource>> {
  type Row = Readonly<
    Record<'application_id' | 'source_session_id' | 'source_application_id', Buffer>
  > & {
    readonly session_kind: SessionKind;
  };
  const wanted = after ? sliceKeyset.following(after) : sql('TRUE');
  return query(
    sql(
      `SELECT application_id, source_session_id, source_application_id, session_kind, ${sliceKeyset.select}
       FROM session_imports FORCE INDEX (PRIMARY)
       WHERE ${wanted.sql} ORDER BY ${sliceKeyset.orderBy} LIMIT ?`,
      ...[...wanted.bindings, size + 1],
    ),
    (rows: Row[]) =>
      sliceKeyset.pageOf(rows, size, (row) => ({
        sessionId: fromBinary(row.source_session_id),
        applicationId: fromBinary(row.source_application_id),
        kind: row.session_kind,
        importedBy: fromBinary(row.application_id),
      })),
  );
}
