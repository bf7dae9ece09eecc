import { inKeyOrder } from '../../db/key-order';
import { Keyset, type Page, type WantedPage } from '../../db/cursor';
import { allOf, ifGiven, query, sql, type Query, type Statement } from '../../db/query';
import { groupBy } from '../../model/collections';
import { fromBinary, toBinary, type ApplicationId, type SessionId } from '../../model/ids';
import { kindSchemas } from '../../model/relations';
import type { SessionKind } from '../../model/session';
import { isOnCalendar } from '../sessions/version';
import { withdrawnForGood } from '../withdrawals/rows';
import {
  keyBindings,
  keyOfRow,
  ledgerKey,
  type Imported,
  type KeyRow,
  type LedgerKey,
} from './entries';

/*
 * The ledger keeps the `updated_at` that a source had when it was imported, or when its change was told: its version. If
 * the source has another one now, the copy is outdated. An entry that keeps none is from before this was kept, or of an
 * older service.
 *
 * Each query compares in one statement, which sees one moment: an entry never comes with a source that is older than
 * the import.
 */

/** A copy, compared with its source. */
export interface ComparedCopy extends Imported {
  readonly sessionId: SessionId;
  readonly sourceApplicationId: ApplicationId;
  readonly changedAt: Date;
  /** The same as DATETIME(6) in text, which a `Date` rounds, in the form of cursors. */
  readonly version: string;
  /**
   * What the entry says. `current`: it has the source's version. `outdated`: it has another one. `unknown`: it has none,
   * and the source was changed before the import. `unknown, changed`: it has none, and the source was changed after it.
   */
  readonly state: 'current' | 'outdated' | 'unknown' | 'unknown, changed';
}

const state = `CASE WHEN i.source_updated_at = s.updated_at THEN 'current'
  WHEN i.source_updated_at IS NOT NULL THEN 'outdated'
  WHEN i.created_at < s.updated_at THEN 'unknown, changed' ELSE 'unknown' END`;

const keyset = new Keyset([{ name: 'i.application_id', type: 'id' }], 'ASC');

/** The copies of a session, in the order of the applications that have them. */
export function comparedCopiesOf(
  kind: SessionKind,
  source: SessionId,
  { size, after }: WantedPage,
): Query<Page<ComparedCopy>> {
  const wanted = allOf(
    sql('i.source_session_id = ?', toBinary(source)),
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

/** The copies of some entries that are not current. @param entries of sessions of the kind; at least one. */
export function outdatedCopiesAmong(
  kind: SessionKind,
  entries: readonly Imported[],
): Query<ComparedCopy[]> {
  const wanted = sql(
    '(i.application_id, i.source_session_id) IN (?) AND NOT i.source_updated_at <=> s.updated_at',
    entries.map(keyBindings),
  );
  return query(selectCopies(kind, 'PRIMARY', wanted), (rows: CopyRow[]) => rows.map(copyOf));
}

/** Locks those of some entries that nobody holds. @param entries at least one. */
export function lockFreeEntries(entries: readonly Imported[]): Query<ReadonlySet<LedgerKey>> {
  return query(
    sql(
      `SELECT application_id, source_session_id FROM session_imports FORCE INDEX (PRIMARY)
       WHERE (application_id, source_session_id) IN (?) FOR UPDATE SKIP LOCKED`,
      inKeyOrder(entries, ledgerKey).map(keyBindings),
    ),
    (rows: KeyRow[]) => new Set(rows.map(keyOfRow)),
  );
}

/** Stores the versions of the sources. */
export function storeVersions(copies: readonly ComparedCopy[]): readonly Statement[] {
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
> & { readonly updated_at: Date } & Pick<ComparedCopy, 'version' | 'state'>;

/**
 * Sessions that were erased or withdrawn for good, and copies that were erased, are left out: nobody is told of these.
 * So are sessions that were changed at no valid date: they have no version.
 */
function selectCopies(kind: SessionKind, index: string, wanted: Statement): Statement {
  const { sessions } = kindSchemas[kind];
  return sql(
    `SELECT i.session_id, i.application_id, i.source_session_id, i.source_application_id, s.updated_at,
       DATE_FORMAT(s.updated_at, '%Y-%m-%dT%H:%i:%s.%f') AS version, ${state} AS state, ${keyset.select}
     FROM session_imports i FORCE INDEX (${index})
     STRAIGHT_JOIN ?? s FORCE INDEX (PRIMARY)
       ON s.id = i.source_session_id AND s.erased_at IS NULL
         AND (s.withdrawn_at IS NULL OR NOT ${withdrawnForGood('s.id')})
         AND ${isOnCalendar('s.updated_at')}
     STRAIGHT_JOIN ?? c FORCE INDEX (PRIMARY) ON c.id = i.session_id AND c.erased_at IS NULL
     WHERE ${wanted.sql}`,
    ...[sessions, sessions, ...wanted.bindings],
  );
}

function copyOf(row: CopyRow): ComparedCopy {
  return {
    sessionId: fromBinary(row.session_id),
    applicationId: fromBinary(row.application_id),
    sourceSessionId: fromBinary(row.source_session_id),
    sourceApplicationId: fromBinary(row.source_application_id),
    changedAt: row.updated_at,
    version: row.version,
    state: row.state,
  };
}
