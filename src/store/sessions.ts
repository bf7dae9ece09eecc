import type { Knex } from 'knex';
import { readColumns, type ColumnsByTable } from '../db/catalogue';
import type { Database } from '../db/connection';
import {
  fromBinary,
  toBinary,
  type ApplicationId,
  type SessionId,
  type WorkflowId,
} from '../model/ids';
import { read, readTogether, type Statement } from '../db/query';
import { kindSchemas, type Relation } from '../model/relations';
import { sessionKinds, type SessionKind, type SessionStatus } from '../model/session';
import { atOneMoment } from '../db/transaction';
import {
  rangeRows,
  relationsOf,
  selectRows,
  type RangeRows,
  type Row,
  type RowRange,
} from './relations';

/** A session, as far as it is shown in a list. */
export interface SessionSummary {
  readonly kind: SessionKind;
  readonly sessionId: SessionId;
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
}

/** A session with everything that its own row says. */
export interface SessionDetails extends SessionSummary {
  /** The secret part of its URL. */
  readonly sessionToken: string;
  readonly updatedAt: Date;
  readonly workflowVersion: number;
  readonly language: string | null;
  readonly callback: string | null;
  /** JSON, as text; null: there is none. */
  readonly features: string | null;
  readonly expectedDetails: string | null;
  readonly contactDetails: string | null;
  readonly metadata: string | null;
}

/** The columns of {@link SummaryRow}. */
export const summaryColumns = `id, session_number, status, workflow_id, vendor_data,
  shared_from_session_id, shared_from_application_id, created_at`;

/** A row of a sessions table, as far as a list shows it. */
export interface SummaryRow {
  readonly kind: SessionKind;
  readonly id: Buffer;
  readonly session_number: number;
  readonly status: SessionStatus;
  readonly workflow_id: Buffer;
  readonly vendor_data: Buffer | null;
  readonly shared_from_session_id: Buffer | null;
  readonly shared_from_application_id: Buffer | null;
  readonly created_at: Date;
}

interface DetailsRow extends SummaryRow {
  readonly session_token: string;
  readonly updated_at: Date;
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
    sessionNumber: row.session_number,
    status: row.status,
    workflowId: fromBinary(row.workflow_id),
    vendorData: row.vendor_data?.toString('utf8') ?? null,
    sharedFrom:
      session && application
        ? { sessionId: fromBinary(session), applicationId: fromBinary(application) }
        : null,
    createdAt: row.created_at,
  };
}

/**
 * Finds a session of an application. For another application's, it takes the same path as for an id
 * that nobody has.
 */
async function findSession(
  db: Knex,
  applicationId: ApplicationId,
  id: SessionId,
): Promise<SessionDetails | undefined> {
  const found = await readTogether<DetailsRow[]>(
    db,
    sessionKinds.map((kind) => ({
      sql: `SELECT '${kind}' AS kind, ${summaryColumns}, session_token, updated_at, workflow_version,
              language, callback, features, expected_details, contact_details, metadata
            FROM ?? WHERE id = ? AND application_id = ?`,
      bindings: [kindSchemas[kind].sessions, toBinary(id), toBinary(applicationId)],
    })),
  );
  const [row] = found.flat();
  return (
    row && {
      ...summaryOf(row),
      sessionToken: row.session_token,
      updatedAt: row.updated_at,
      workflowVersion: row.workflow_version,
      language: row.language,
      callback: row.callback,
      features: row.features,
      expectedDetails: row.expected_details,
      contactDetails: row.contact_details,
      metadata: row.metadata,
    }
  );
}

/** A session with rows of its relations, all as they were at one moment. */
export interface SessionReading {
  readonly session: SessionDetails;
  /** By relation, in order. */
  readonly rows: ReadonlyMap<string, RangeRows>;
}

/** Some rows of one relation, and the kind of session that they belong to. */
export interface RowsReading {
  readonly kind: SessionKind;
  /** Undefined: sessions of that kind have no such relation. */
  readonly rows: RangeRows | undefined;
}

/** What is true of a column whose values can be large. To MariaDB, JSON is a long text. */
const isLarge = "DATA_TYPE IN ('json', 'text', 'mediumtext', 'longtext')";

/** Reads sessions with what belongs to them, from a database opened with `together` and `texts`. */
export class SessionReader {
  private constructor(private readonly largeColumns: ColumnsByTable) {}

  /** Looks into the database's catalogue for columns that can be large: once, when the service starts. */
  static async create(db: Database): Promise<SessionReader> {
    return new SessionReader(await readColumns(db, isLarge));
  }

  /**
   * Reads a session of an application, and the first rows of each of its relations.
   *
   * @param room what there is room for, of each relation.
   * @returns undefined if the application has no such session.
   */
  async readSession(
    db: Database,
    applicationId: ApplicationId,
    id: SessionId,
    room: Omit<RowRange, 'after'>,
  ): Promise<SessionReading | undefined> {
    return atOneMoment(db, async (trx) => {
      const session = await findSession(trx, applicationId, id);
      if (!session) return undefined;
      const relations = relationsOf(session.kind);
      const found = await readTogether<Row[]>(
        trx,
        relations.map((relation) => this.select(relation, id, { ...room, after: undefined })),
      );
      const byRelation = relations.map(
        ({ name }, index) => [name, rangeRows(found[index] ?? [])] as const,
      );
      return { session, rows: new Map(byRelation) };
    });
  }

  /**
   * Reads rows of one relation of a session of an application.
   *
   * @returns undefined if the application has no such session.
   */
  async readRows(
    db: Database,
    applicationId: ApplicationId,
    id: SessionId,
    name: string,
    range: RowRange,
  ): Promise<RowsReading | undefined> {
    return atOneMoment(db, async (trx) => {
      const session = await findSession(trx, applicationId, id);
      if (!session) return undefined;
      const relation = relationsOf(session.kind).find((each) => each.name === name);
      if (!relation) return { kind: session.kind, rows: undefined };
      const { sql, bindings } = this.select(relation, id, range);
      return { kind: session.kind, rows: rangeRows(await read<Row>(trx, sql, bindings)) };
    });
  }

  private select(relation: Relation, id: SessionId, range: RowRange): Statement {
    return selectRows(relation, this.largeColumns.get(relation.table) ?? [], id, range);
  }
}
