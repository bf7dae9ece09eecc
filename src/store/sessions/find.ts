import { query, type Query, type Statement } from '../../db/query';
import {
  fromBinary,
  toBinary,
  type ApplicationId,
  type SessionId,
  type WorkflowId,
} from '../../model/ids';
import { kindSchemas } from '../../model/relations';
import type { Scope } from '../../model/scope';
import { sessionKinds, type SessionKind, type SessionStatus } from '../../model/session';
import { scopeColumn, scopeOf, type ScopeRow } from '../scope-column';
import type { Retention } from '../../model/retention';
import { joinRetention, retentionColumns, retentionOfRow, type RetentionRow } from '../retention';
import { verifiedAt } from './verified-at';

/** A session as it is shown in a list. */
export interface SessionSummary {
  readonly kind: SessionKind;
  readonly sessionId: SessionId;
  readonly applicationId: ApplicationId;
  readonly sessionNumber: number;
  readonly status: SessionStatus;
  readonly workflowId: WorkflowId;
  readonly vendorData: string | null;
  /** Null: it is no copy. */
  readonly sharedFrom: {
    readonly sessionId: SessionId;
    readonly applicationId: ApplicationId;
  } | null;
  readonly createdAt: Date;
  /** Since when nobody can import it, because of a withdrawal; null: no withdrawal stops imports. */
  readonly withdrawnAt: Date | null;
}

/** A session with everything in its own row. */
export interface SessionDetails extends SessionSummary {
  /** The secret part of its URL. */
  readonly sessionToken: string;
  readonly updatedAt: Date;
  /** When the verification was decided; null: unknown. */
  readonly verifiedAt: Date | null;
  readonly workflowVersion: number;
  readonly language: string | null;
  readonly callback: string | null;
  /** JSON, as text; null: there is none. */
  readonly features: string | null;
  readonly expectedDetails: string | null;
  readonly contactDetails: string | null;
  readonly metadata: string | null;
  /** What the application has of the session's original; null: it is no copy, or a copy of everything. */
  readonly scope: Scope;
  readonly retention: Retention;
}

/** The columns of {@link SummaryRow}. */
export const summaryColumns = [
  'id',
  'application_id',
  'session_number',
  'status',
  'workflow_id',
  'vendor_data',
  'shared_from_session_id',
  'shared_from_application_id',
  'created_at',
  'withdrawn_at',
] as const;

const detailsColumns = [
  ...summaryColumns,
  'session_token',
  'updated_at',
  'workflow_version',
  'language',
  'callback',
  'features',
  'expected_details',
  'contact_details',
  'metadata',
  scopeColumn,
  `${verifiedAt('s')} AS verified`,
  ...retentionColumns,
] as const;

/** The columns of a row of sessions that a list shows. */
export interface SummaryRow {
  readonly kind: SessionKind;
  readonly id: Buffer;
  readonly application_id: Buffer;
  readonly session_number: number;
  readonly status: SessionStatus;
  readonly workflow_id: Buffer;
  readonly vendor_data: Buffer | null;
  readonly shared_from_session_id: Buffer | null;
  readonly shared_from_application_id: Buffer | null;
  readonly created_at: Date;
  readonly withdrawn_at: Date | null;
}

interface DetailsRow extends SummaryRow, ScopeRow, RetentionRow {
  readonly session_token: string;
  readonly updated_at: Date;
  readonly verified: Date | null;
  readonly workflow_version: number;
  readonly language: string | null;
  readonly callback: string | null;
  readonly features: string | null;
  readonly expected_details: string | null;
  readonly contact_details: string | null;
  readonly metadata: string | null;
}

/** Makes a summary of a row. */
export function summaryOf(row: SummaryRow): SessionSummary {
  const { shared_from_session_id: session, shared_from_application_id: application } = row;
  return {
    kind: row.kind,
    sessionId: fromBinary(row.id),
    applicationId: fromBinary(row.application_id),
    sessionNumber: row.session_number,
    status: row.status,
    workflowId: fromBinary(row.workflow_id),
    vendorData: row.vendor_data?.toString('utf8') ?? null,
    sharedFrom:
      session && application
        ? { sessionId: fromBinary(session), applicationId: fromBinary(application) }
        : null,
    createdAt: row.created_at,
    withdrawnAt: row.withdrawn_at,
  };
}

/**
 * Finds a session of either kind. One that was erased looks like one that does not exist.
 *
 * @param owner finds the session only if it belongs to this application. A session of another
 * application looks like one that does not exist. Undefined: any owner; then no caller may see the result.
 */
export function sessionById(
  id: SessionId,
  owner: ApplicationId | undefined,
): Query<SessionSummary | undefined> {
  const statement = selectById(summaryColumns, '', id, owner);
  return query(statement, ([row]: SummaryRow[]) => row && summaryOf(row));
}

/** Finds a session like {@link sessionById}, with everything in its own row. */
export function sessionDetailsById(
  id: SessionId,
  owner: ApplicationId,
): Query<SessionDetails | undefined> {
  const statement = selectById(detailsColumns, `LEFT JOIN ${joinRetention('s.id')}`, id, owner);
  return query(statement, ([row]: DetailsRow[]) => row && detailsOf(row));
}

function selectById(
  columns: readonly string[],
  joined: string,
  id: SessionId,
  owner: ApplicationId | undefined,
): Statement {
  const owned = owner === undefined ? [] : [toBinary(owner)];
  const selects = sessionKinds.map(
    (kind) =>
      `SELECT '${kind}' AS kind, ${columns.join(', ')}
       FROM ?? s ${joined} WHERE s.id = ? AND s.erased_at IS NULL ${owner === undefined ? '' : 'AND s.application_id = ?'}`,
  );
  return {
    sql: selects.join(' UNION ALL '),
    bindings: sessionKinds.flatMap((kind) => [kindSchemas[kind].sessions, toBinary(id), ...owned]),
  };
}

function detailsOf(row: DetailsRow): SessionDetails {
  return {
    ...summaryOf(row),
    sessionToken: row.session_token,
    updatedAt: row.updated_at,
    verifiedAt: row.verified,
    workflowVersion: row.workflow_version,
    language: row.language,
    callback: row.callback,
    features: row.features,
    expectedDetails: row.expected_details,
    contactDetails: row.contact_details,
    metadata: row.metadata,
    scope: scopeOf(row),
    retention: retentionOfRow(row),
  };
}
