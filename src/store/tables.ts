import { readColumns, readTables, readVariable } from '../db/catalogue';
import type { Database } from '../db/database';
import { query, read, select, sql, type Query } from '../db/query';
import { kindSchemas } from '../model/relations';
import { SchemaMismatch } from './relations/clone-plan';

/** Every table that the service reads or writes. */
export const ownTables: readonly string[] = [
  ...['applications', 'workflows', 'api_keys', 'session_counters'],
  ...Object.values(kindSchemas).flatMap(({ sessions, vendorEntities, relations }) => [
    ...[sessions, vendorEntities],
    ...relations.map(({ table }) => table),
  ]),
  ...['session_imports', 'import_refusals', 'share_tokens', 'session_connections'],
  ...['session_retention', 'session_erasures'],
  ...['event_outbox', 'session_events', 'event_rounds', 'session_withdrawals'],
  'source_sweeps',
];

/**
 * Checks whether the tables are stored as the service needs them. Migrations create them so, but a table can be
 * converted later, or a dump loaded into a server with other settings.
 *
 * @throws SchemaMismatch if they are not. It names the tables, and what to do about each.
 */
export async function checkTables(db: Database): Promise<void> {
  const [tables, columns, writesLog, logFormat] = await Promise.all([
    readTables(db),
    readColumns(db, "COLLATION_NAME <> 'utf8mb4_bin'"),
    readVariable(db, 'log_bin'),
    readVariable(db, 'binlog_format'),
  ]);
  const problems = ownTables.flatMap((name) => {
    const table = tables.get(name);
    if (!table) return [`table ${name} does not exist`];
    return [
      // Transactions, and locks of rows.
      ...(table.engine === 'InnoDB' ? [] : [`ALTER TABLE ${name} ENGINE = InnoDB`]),
      // In the older formats, a row with many long values is refused (MySQL 8.4 manual, section 17.10).
      ...(['Dynamic', 'Compressed'].includes(table.rowFormat)
        ? []
        : [`ALTER TABLE ${name} ROW_FORMAT = DYNAMIC`]),
      // Tokens and names are compared by code point.
      ...(columns.get(name) ?? []).map(
        (column) => `ALTER TABLE ${name} MODIFY ${column} … COLLATE utf8mb4_bin`,
      ),
    ];
  });
  // InnoDB refuses to write at READ COMMITTED (MySQL 8.4 manual, section 7.4.4.2).
  if (writesLog === 'ON' && logFormat === 'STATEMENT')
    problems.push("SET GLOBAL binlog_format = 'ROW'");
  if (problems.length === 0) return;
  throw new SchemaMismatch(
    ['the database is not as the service needs it. What has to be done:', ...problems].join('\n  '),
  );
}

/** The largest `max_binlog_cache_size` that counts as a limit, in bytes. */
const boundedBytes = 2 ** 30;

/**
 * Checks whether the server limits how much a transaction writes into its binary log. It writes each transaction
 * in one piece, and all other commits wait meanwhile (MySQL 8.4 manual, section 7.4.4).
 *
 * @returns false if a single session can delay all commits.
 */
export async function boundsTransactions(db: Database): Promise<boolean> {
  const [server] = await read(
    db,
    select<{ bounded: number }>('SELECT NOT @@log_bin OR @@max_binlog_cache_size <= ? AS bounded', [
      boundedBytes,
    ]),
  );
  return server?.bounded === 1;
}

/**
 * How many bytes a transaction may write before the server refuses the next row; Infinity: no limit is known. What is
 * in memory (`binlog_cache_size`) does not count for the limit. MariaDB can compress rows first.
 */
export function mostBytesOfTransaction(): Query<number> {
  type Row = Readonly<Record<'logs' | 'most' | 'memory', number>>;
  return query(
    sql(`SELECT @@log_bin AND @@sql_log_bin /*M! AND NOT @@log_bin_compress */ AS logs,
           @@max_binlog_cache_size AS most, @@binlog_cache_size AS memory`),
    ([row]: Row[]) => (row?.logs === 1 ? row.most + row.memory : Infinity),
  );
}
