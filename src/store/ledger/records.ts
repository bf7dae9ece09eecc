import { listPart, type ListPart } from '../../db/bounded-list';
import { Keyset, type WantedPage } from '../../db/cursor';
import { allOf, query, sql, type Query } from '../../db/query';
import { fromBinary, toBinary, type ApplicationId, type SessionId } from '../../model/ids';
import type { SessionKind, SessionStatus } from '../../model/session';
import { recordedRules } from '../acceptance';
import { actorOf, type ActorRow } from '../actor-columns';
import { groundsColumns, groundsOf } from '../grounds-columns';
import { scopeColumn, scopeOf } from '../scope-column';
import {
  chosenBy,
  withinTime,
  type ImportFilter,
  type ImportRecord,
  type TokenRow,
} from '../import-records';

type Bytes<Column extends string> = Readonly<Record<Column, Buffer>>;

type ImportRow = Bytes<
  'application_id' | 'source_session_id' | 'source_application_id' | 'session_id'
> &
  ActorRow &
  TokenRow & {
    readonly created_at: Date;
    readonly session_kind: SessionKind;
    readonly source_status: SessionStatus;
    readonly verified_at: Date | null;
    readonly acceptance: unknown;
    readonly connection_id: Buffer | null;
    /** 0 or 1. */
    readonly trust_review: number;
    readonly linked_to_session_id: Buffer | null;
  };

/** The columns to read. A linked session has the token of the session that it was imported with. */
const importColumns = `s.application_id, s.source_session_id, s.source_application_id, s.session_id,
  s.created_at, s.session_kind, s.source_status, s.verified_at, s.acceptance, s.connection_id, s.trust_review,
  s.api_key_id, s.gateway, s.linked_to_session_id, s.${scopeColumn},
  ${['token_key_id', 'token_id', ...groundsColumns].map(ofItsOwnOrLinked).join(', ')}`;

function ofItsOwnOrLinked(column: string): string {
  return `COALESCE(s.${column}, (SELECT m.${column} FROM session_imports m
    WHERE m.session_id = s.linked_to_session_id)) AS ${column}`;
}

/**
 * What an application may know about an import. The importing application may know all of it. The
 * source application may know who has the session now, and by which token.
 *
 * @returns undefined if the import does not concern the application.
 */
function importRecord(row: ImportRow, viewer: ApplicationId): ImportRecord | undefined {
  const applicationId = fromBinary<ApplicationId>(row.application_id);
  const sourceApplicationId = fromBinary<ApplicationId>(row.source_application_id);
  const ownImport = applicationId === viewer;
  if (!ownImport && sourceApplicationId !== viewer) return undefined;
  return {
    createdAt: row.created_at,
    applicationId,
    source: {
      kind: row.session_kind,
      sessionId: fromBinary(row.source_session_id),
      applicationId: sourceApplicationId,
      signingKeyId: row.token_key_id,
      shareTokenId: row.token_id,
      grounds: groundsOf(row),
      scope: scopeOf(row),
    },
    connectionId: row.connection_id && fromBinary(row.connection_id),
    actor: ownImport ? actorOf(row) : null,
    copy: ownImport
      ? {
          sessionId: fromBinary(row.session_id),
          sourceStatus: row.source_status,
          verifiedAt: row.verified_at,
          trustReview: row.trust_review !== 0,
          linkedTo: row.linked_to_session_id && fromBinary(row.linked_to_session_id),
        }
      : null,
    acceptance: ownImport ? recordedRules(row.acceptance) : null,
    refusedFor: null,
    preview: false,
  };
}

/** One of the imports between a session and its origin. */
export interface LedgerStep {
  readonly applicationId: ApplicationId;
  readonly sourceSessionId: SessionId;
  readonly createdAt: Date;
  /** Undefined if the import does not concern the application that asks. */
  readonly record: ImportRecord | undefined;
}

/** The import that made a session, as far as an application may know of it. */
export function importOf(
  sessionId: SessionId,
  viewer: ApplicationId,
): Query<LedgerStep | undefined> {
  return query(
    sql(
      `SELECT ${importColumns} FROM session_imports s WHERE s.session_id = ?`,
      toBinary(sessionId),
    ),
    ([row]: ImportRow[]) =>
      row && {
        applicationId: fromBinary(row.application_id),
        sourceSessionId: fromBinary(row.source_session_id),
        createdAt: row.created_at,
        record: importRecord(row, viewer),
      },
  );
}

/** The order of {@link incomingImports}, and of refused attempts beside them. */
export const incomingKeyset = new Keyset(
  [
    { name: 's.created_at', type: 'moment' },
    { name: 's.source_session_id', type: 'id' },
  ],
  'DESC',
);

/** What an application has imported, the newest first. */
export function incomingImports(
  viewer: ApplicationId,
  filter: ImportFilter,
  page: WantedPage,
): ListPart<ImportRecord> {
  return importsOf('application_id', 'source_application_id', incomingKeyset, viewer, filter, page);
}

/** The order of {@link outgoingImports}. */
export const outgoingKeyset = new Keyset(
  [
    { name: 's.created_at', type: 'moment' },
    { name: 's.application_id', type: 'id' },
    { name: 's.source_session_id', type: 'id' },
  ],
  'DESC',
);

/** What others have imported of an application, the newest first. */
export function outgoingImports(
  viewer: ApplicationId,
  filter: ImportFilter,
  page: WantedPage,
): ListPart<ImportRecord> {
  return importsOf('source_application_id', 'application_id', outgoingKeyset, viewer, filter, page);
}

type Side = 'application_id' | 'source_application_id';

/**
 * @param viewers the column of the application that asks.
 * @param others the column of the application on the other side.
 */
function importsOf(
  viewers: Side,
  others: Side,
  keyset: Keyset,
  viewer: ApplicationId,
  filter: ImportFilter,
  page: WantedPage,
): ListPart<ImportRecord> {
  return listPart(
    {
      table: 'session_imports',
      key: ['application_id', 'source_session_id'],
      // The index is forced: the primary key also begins with the application, and for a small ledger
      // MySQL would read and sort all of it.
      index: `session_imports_${viewers}_created_at`,
      keyset,
      columns: importColumns,
      range: allOf(sql(`s.${viewers} = ?`, toBinary(viewer)), withinTime(filter)),
      filter: chosenBy(filter, others),
      itemOf: (row: ImportRow) => importRecord(row, viewer),
    },
    page,
  );
}
