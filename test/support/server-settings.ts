import { createConnection, type RowDataPacket } from 'mysql2/promise';
import { databaseUrl } from './mysql';

/** Values of global variables, by name. */
export type ServerSettings = Readonly<Record<string, string | number>>;

/**
 * What others may have set on a server, for new sessions, and the service does not leave so. What one kind of
 * server does not know is for the other.
 */
export const hostileSettings: ServerSettings = {
  autocommit: 0,
  completion_type: 2,
  init_connect: 'SET NAMES latin1',
  character_set_client: 'latin1',
  character_set_results: 'latin1',
  collation_connection: 'latin1_swedish_ci',
  time_zone: '+05:00',
  sql_mode: 'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,HIGH_NOT_PRECEDENCE',
  foreign_key_checks: 0,
  unique_checks: 0,
  check_constraint_checks: 0,
  max_join_size: 1,
  sql_big_selects: 0,
  sql_select_limit: 1,
  sql_safe_updates: 1,
  sql_auto_is_null: 1,
  max_sort_length: 4,
  innodb_lock_wait_timeout: 100,
  lock_wait_timeout: 100,
  wait_timeout: 1,
  default_storage_engine: 'MyISAM',
  sql_quote_show_create: 0,
  transaction_isolation: 'SERIALIZABLE',
  tx_isolation: 'SERIALIZABLE',
  transaction_read_only: 1,
  tx_read_only: 1,
  max_execution_time: 1,
  max_statement_time: 0.001,
  cte_max_recursion_depth: 1,
  max_recursive_iterations: 1,
  range_optimizer_max_mem_size: 1,
  optimizer_max_sel_arg_weight: 1,
  group_replication_consistency: 'EVENTUAL',
  wsrep_dirty_reads: 1,
};

/** What others may have set, and the service leaves so, since nothing that it relies on rests on it. */
export const harmlessSettings: ServerSettings = {
  character_set_server: 'latin1',
  div_precision_increment: 0,
  group_concat_max_len: 4,
  default_week_format: 3,
  sql_notes: 0,
  sql_buffer_result: 1,
  big_tables: 1,
  low_priority_updates: 1,
  auto_increment_increment: 7,
  in_predicate_conversion_threshold: 2,
  old_mode: 'NO_DUP_KEY_WARNINGS_WITH_IGNORE',
  session_track_system_variables: '*',
  session_track_state_change: 1,
  session_track_transaction_info: 'CHARACTERISTICS',
  session_track_gtids: 'ALL_GTIDS',
};

/** What others may have set for new tables. */
export const schemaSettings: ServerSettings = {
  innodb_default_row_format: 'compact',
  innodb_strict_mode: 0,
  explicit_defaults_for_timestamp: 0,
  sql_require_primary_key: 1,
  sql_generate_invisible_primary_key: 1,
};

/**
 * Sets the server of the tests for all sessions that begin from now on. Only where nobody else uses it.
 *
 * @returns what sets it to its defaults again.
 */
export async function setServer(settings: ServerSettings): Promise<() => Promise<void>> {
  const admin = await createConnection(databaseUrl());
  const [found] = await admin.query<RowDataPacket[]>('SHOW GLOBAL VARIABLES');
  const known = new Set(found.map(({ Variable_name: name }) => String(name)));
  const names = Object.keys(settings).filter((name) => known.has(name));
  for (const name of names) await admin.query('SET GLOBAL ?? = ?', [name, settings[name]]);
  return async () => {
    for (const name of names) await admin.query('SET GLOBAL ?? = DEFAULT', [name]);
    await admin.end();
  };
}

/** Runs work while new sessions of the test server have these settings. */
export async function whileSet<T>(settings: ServerSettings, work: () => Promise<T>): Promise<T> {
  const restore = await setServer(settings);
  try {
    return await work();
  } finally {
    await restore();
  }
}
