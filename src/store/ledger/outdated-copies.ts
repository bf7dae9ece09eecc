import { inKeyOrder } from '../../db/key-order';
import { Keyset, type Page, type WantedPage } from '../../db/cursor';
import { allOf, ifGiven, query, sql, type Query, type Statement } from '../../db/query';
import { groupBy } from '../../model/collections';
import { fromBinary, toBinary, type ApplicationId, type SessionId } from '../../model/ids';
import { kindSchemas } from '../../model/relations';
import type { SessionKind } from '../../model/session';
import { keyBindings, ledgerKey, type Imported } from './entries';

/*
 * The ledger keeps the `updated_at` that a source had when it was imported, or when its change was told. If the source
 * has another one now, the copy is outdated.
 *
 * Each query compares in one statement, which sees one moment: an entry never comes with a source that is older than
 * the import.
 */

/** A copy whose application has to be told that the source was changed. */
export interface OutdatedCopy extends Imported {
  readonly sessionId: SessionId;
  readonly sourceApplicationId: ApplicationId;
  readonly changedAt: Date;
  /** The same as DATETIME(6) in text, which a `Date` rounds. */
  readonly version: string;
}

/** An entry that does not say which version was imported is from before this was kept, or of an older service. */
const outdated = `(i.source_updated_at <> s.updated_at
  OR (i.source_updated_at IS NULL AND i.created_at < s.updated_at))`;

const keyset = new Keyset([{ name: 'i.application_id', type: 'id' }], 'ASC');

/** The outdated copies of a session, in the order of the applications that have them. */
export function outdatedCopiesOf(
  kind: SessionKind,
  source: SessionId,
  { size, after }: WantedPage,
): Query<Page<OutdatedCopy>> {
  const wanted = allOf(
    sql(`i.source_session_id = ? AND ${outdated}`, toBinary(source)),
    ifGiven(after, (cursor) => keyset.following(cursor)),
  );
  const { sql: text, bindings } = selectCopies(
    kind,
    'session_imports_source_session_id_index',
    wanted,
  );
  return query(
    sql(`${text} ORDER BY ${keyset.orderBy} LIMIT ?`, ...[...bindings, size + 1]),
    (rows: CopyRow[]) => keyset.pageOf(rows, size, copyOf),
  );
}

/**
 * Which of some entries have an outdated copy. Those that do not say which version was imported are left out: this
 * would tell of changes from before the first sweep.
 *
 * @param entries of sessions of the kind; at least one.
 */
export function outdatedCopiesAmong(
  kind: SessionKind,
  entries: readonly Imported[],
): Query<OutdatedCopy[]> {
  const wanted = sql(
    '(i.application_id, i.source_session_id) IN (?) AND i.source_updated_at <> s.updated_at',
    entries.map(keyBindings),
  );
  return query(selectCopies(kind, 'PRIMARY', wanted), (rows: CopyRow[]) => rows.map(copyOf));
}

/** Stores which version the applications were told of. */
export function storeTold(copies: readonly OutdatedCopy[]): readonly Statement[] {
  const versions = groupBy(inKeyOrder(copies, ledgerKey), ({ version }) => version);
  return [...versions].map(([version, same]) =>
    sql(
      `UPDATE session_imports FORCE INDEX (PRIMARY) SET source_updated_at = ?
       WHERE (application_id, source_session_id) IN (?)`,
      version,
      same.map(keyBindings),
    ),
  );
}

type CopyRow = Readonly<
  Record<'session_id' | 'application_id' | 'source_session_id' | 'source_application_id', Buffer>
> & { readonly updated_at: Date; readonly version: string };

/** Sessions that were erased or withdrawn, and copies that were erased, are left out: nobody is told of these. */
function selectCopies(kind: SessionKind, index: string, wanted: Statement): Statement {
  const { sessions } = kindSchemas[kind];
  return sql(
    `SELECT i.session_id, i.application_id, i.source_session_id, i.source_application_id, s.updated_at,
       CAST(s.updated_at AS CHAR) AS version, ${keyset.select}
     FROM session_imports i FORCE INDEX (${index})
     STRAIGHT_JOIN ?? s FORCE INDEX (PRIMARY)
       ON s.id = i.source_session_id AND s.erased_at IS NULL AND s.withdrawn_at IS NULL
     STRAIGHT_JOIN ?? c FORCE INDEX (PRIMARY) ON c.id = i.session_id AND c.erased_at IS NULL
     WHERE ${wanted.sql}`,
    ...[sessions, sessions, ...wanted.bindings],
  );
}

function copyOf(row: CopyRow): OutdatedCopy {
  return {
    sessionId: fromBinary(row.session_id),
    applicationId: fromBinary(row.application_id),
    sourceSessionId: fromBinary(row.source_session_id),
    sourceApplicationId: fromBinary(row.source_application_id),
    changedAt: row.updated_at,
    version: row.version,
  };
}
