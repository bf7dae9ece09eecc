import type { Database } from '../src/db/database';
import { newId, toBinary, type SessionId, type VendorEntityId } from '../src/model/ids';
import { read, select, write, type Binding, type Statement } from '../src/db/query';
import { newSessionToken } from '../src/model/session-token';
import { carriedColumns } from '../src/store/sessions/copies';
import { kindSchemas, type Relation } from '../src/model/relations';
import type { SessionKind } from '../src/model/session';
import type { Import, World } from './subjects';

/** Sessions are made by so many in a transaction. */
const batch = 1_000;

/** The table from which bulk statements learn what is to be copied, and as what. */
const copies = 'bench_copies';

const copiesColumns = [
  'id',
  'source_id',
  'application_id',
  'api_key_id',
  'workflow_id',
  'session_number',
  'session_token',
  'vendor_entity_id',
  'vendor_data',
  'token_digest',
] as const;

export async function createCopiesTable(db: Database): Promise<void> {
  await db.raw(
    `CREATE TABLE ${copies} (
       id BINARY(16) PRIMARY KEY, source_id BINARY(16) NOT NULL, application_id BINARY(16) NOT NULL,
       api_key_id BINARY(16), workflow_id BINARY(16) NOT NULL, session_number BIGINT UNSIGNED NOT NULL,
       session_token VARCHAR(64) NOT NULL, vendor_entity_id BINARY(16), vendor_data VARBINARY(1020),
       token_digest BINARY(32))`,
  );
}

/** Makes many copies of a session, in the sharing application or in another one. */
export async function multiply(
  db: Database,
  world: Pick<World, 'source' | 'sourceWorkflows'>,
  kind: SessionKind,
  template: SessionId,
  count: number,
): Promise<SessionId[]> {
  const { sessions } = kindSchemas[kind];
  const [last] = await read(
    db,
    select<{ highest: number }>(
      'SELECT MAX(session_number) AS highest FROM ?? WHERE application_id = ?',
      [sessions, toBinary(world.source)],
    ),
  );
  const first = (last?.highest ?? 0) + 1;
  const rest = ['status', 'workflow_version', ...carriedColumns, 'created_at', 'updated_at'];
  const statements = [
    {
      sql: `INSERT INTO ${sessions} (id, application_id, session_number, session_token, workflow_id,
              vendor_data, ${rest.join(', ')})
            SELECT c.id, c.application_id, c.session_number, c.session_token, c.workflow_id,
              c.vendor_data, ${rest.map((column) => `o.${column}`).join(', ')}
            FROM ${copies} c STRAIGHT_JOIN ${sessions} o ON o.id = c.source_id`,
      bindings: [],
    },
    ...(await relationStatements(db, kind)),
  ];
  const ids = Array.from({ length: count }, () => newId<SessionId>());
  for (let start = 0; start < count; start += batch) {
    const rows = ids.slice(start, start + batch).map((id, index) => {
      return {
        id: toBinary(id),
        source_id: toBinary(template),
        application_id: toBinary(world.source),
        workflow_id: toBinary(world.sourceWorkflows[kind]),
        session_number: first + start + index,
        session_token: newSessionToken(),
        vendor_data: Buffer.from(`source ${first + start + index}`),
      };
    });
    await fillCopies(db, rows);
    await inOneTransaction(db, statements);
  }
  return ids;
}

/** The first ordinal of rows that are added: higher than any of the demo's. */
const firstAdded = 1_000;

/** Adds rows like its first one to a relation of a session. */
export async function addRows(
  db: Database,
  table: string,
  session: SessionId,
  count: number,
): Promise<void> {
  if (count < 1) return;
  const columns = await columnsOf(db, table);
  const values = columns.map((column) => (column === 'ordinal' ? '? + numbers.n' : `r.${column}`));
  await write(db, {
    sql: `INSERT INTO ${table} (${columns.join(', ')})
     WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ?)
     SELECT /*+ SET_VAR(cte_max_recursion_depth = 100000) */ ${values.join(', ')}
     FROM numbers STRAIGHT_JOIN (SELECT * FROM ${table} WHERE session_id = ? ORDER BY ordinal LIMIT 1) r`,
    bindings: [count, firstAdded, toBinary(session)],
  });
}

/**
 * Prepares to copy sessions with one statement per table for all of them: as fast as this server can
 * copy these rows.
 *
 * @returns what does the work that is to be measured.
 */
export async function prepareBulk(
  db: Database,
  world: World,
  imports: readonly Import[],
): Promise<() => Promise<void>> {
  const kind = imports[0]?.kind ?? 'user';
  const schema = kindSchemas[kind];
  const now = new Date();
  await fillCopies(
    db,
    imports.map(({ importing, source, vendorData, number }) => ({
      id: toBinary(newId()),
      source_id: toBinary(source),
      application_id: toBinary(importing.applicationId),
      api_key_id: toBinary(importing.apiKeyId),
      workflow_id: toBinary(importing.workflows[kind]),
      session_number: number,
      session_token: newSessionToken(),
      vendor_entity_id: toBinary(newId<VendorEntityId>()),
      vendor_data: Buffer.from(vendorData),
      token_digest: digestOf(number),
    })),
  );
  const carried = carriedColumns.map((column) => `o.${column}`).join(', ');
  const statements: Statement[] = [
    {
      sql: `INSERT INTO session_imports (application_id, source_session_id, source_application_id,
              session_kind, source_status, session_id, trust_review, api_key_id, token_digest, created_at)
            SELECT c.application_id, c.source_id, o.application_id, '${kind}', o.status, c.id, TRUE,
              c.api_key_id, c.token_digest, ?
            FROM ${copies} c STRAIGHT_JOIN ${schema.sessions} o ON o.id = c.source_id`,
      bindings: [now],
    },
    {
      sql: `INSERT INTO ${schema.vendorEntities} (id, application_id, vendor_data, created_at)
            SELECT vendor_entity_id, application_id, vendor_data, ? FROM ${copies}`,
      bindings: [now],
    },
    {
      sql: `INSERT INTO ${schema.sessions} (id, application_id, session_number, session_token, status,
              workflow_id, workflow_version, vendor_entity_id, vendor_data, shared_from_session_id,
              shared_from_application_id, created_at, updated_at, ${carriedColumns.join(', ')})
            SELECT c.id, c.application_id, c.session_number, c.session_token, o.status, c.workflow_id,
              w.version, c.vendor_entity_id, c.vendor_data, o.id, o.application_id, ?, ?, ${carried}
            FROM ${copies} c STRAIGHT_JOIN ${schema.sessions} o ON o.id = c.source_id
            STRAIGHT_JOIN workflows w ON w.id = c.workflow_id`,
      bindings: [now, now],
    },
    ...(await relationStatements(db, kind)),
    {
      sql: `INSERT INTO ${schema.logs} (session_id, ordinal, status, activity_type, log_type,
              short_description, created_at, updated_at)
            SELECT c.id, 1000000, 'Approved', 'session_imported', 'information', 'Session imported', ?, ?
            FROM ${copies} c`,
      bindings: [now, now],
    },
  ];
  return () => inOneTransaction(db, statements);
}

/** A digest like that of a share token, for contestants that get none. */
export function digestOf(number: number): Buffer {
  const digest = Buffer.alloc(32);
  digest.writeDoubleBE(number);
  return digest;
}

async function relationStatements(db: Database, kind: SessionKind): Promise<Statement[]> {
  const statements: Statement[] = [];
  for (const relation of kindSchemas[kind].relations) {
    const { table } = relation;
    const { columns, values } = await clonedColumns(db, relation);
    statements.push({
      sql: `INSERT INTO ${table} (session_id, ${columns})
            SELECT c.id, ${values}
            FROM ${copies} c STRAIGHT_JOIN ${table} r ON r.session_id = c.source_id`,
      bindings: [],
    });
  }
  return statements;
}

/** The columns of a relation besides the session, and what a copy has in them of the row `r`. */
export async function clonedColumns(
  db: Database,
  { table, overrides }: Relation,
): Promise<Readonly<Record<'columns' | 'values', string>>> {
  const columns = (await columnsOf(db, table)).filter((column) => column !== 'session_id');
  const values = columns.map((column) => overrides[column] ?? `r.${column}`);
  return { columns: columns.join(', '), values: values.join(', ') };
}

/** How many rows a session has in all its relations. */
export async function rowsOf(db: Database, kind: SessionKind, id: SessionId): Promise<number> {
  const counts = kindSchemas[kind].relations.map(
    ({ table }) => `(SELECT COUNT(*) FROM ${table} WHERE session_id = ?)`,
  );
  const [row] = await read(
    db,
    select<{ total: number }>(
      `SELECT ${counts.join(' + ')} AS total`,
      counts.map(() => toBinary(id)),
    ),
  );
  return row?.total ?? 0;
}

/** The columns of a table, in order. */
async function columnsOf(db: Database, table: string): Promise<string[]> {
  const rows = await read(
    db,
    select<{ name: string }>(
      `SELECT COLUMN_NAME AS name FROM information_schema.COLUMNS
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION`,
      [table],
    ),
  );
  return rows.map(({ name }) => name);
}

type CopyRow = Partial<Record<(typeof copiesColumns)[number], Binding>>;

async function fillCopies(db: Database, rows: readonly CopyRow[]): Promise<void> {
  await db.raw(`TRUNCATE TABLE ${copies}`);
  const values = rows.map((row) => copiesColumns.map((column) => row[column] ?? null));
  await write(db, {
    sql: `INSERT INTO ${copies} (${copiesColumns.join(', ')}) VALUES ?`,
    bindings: [values],
  });
}

async function inOneTransaction(db: Database, statements: readonly Statement[]): Promise<void> {
  await db.transaction(async (trx) => {
    for (const statement of statements) await write(trx, statement);
  });
}
