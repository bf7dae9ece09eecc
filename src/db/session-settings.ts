import type { RowDataPacket } from 'mysql2';
import type { Connection } from 'mysql2/promise';
import { UnfitServer } from './errors';

/** How long statements of a session may take. */
export interface SessionLimits {
  /** How long a statement waits for a lock, in seconds: MySQL takes whole ones, at least 1. */
  readonly lockWaitSeconds: number;
  /**
   * How long a statement that reads may run on the server, in seconds. Then the server stops it, even
   * if nobody waits for it any more. Undefined: for ever.
   */
  readonly statementSeconds?: number;
  /**
   * How long the server keeps a connection on which nothing comes, in seconds, whatever its transaction has locked.
   * Undefined: for hours.
   */
  readonly idleSeconds?: number;
}

/** Names of session variables, and the SQL of their values. */
type Settings = Readonly<Record<string, string | number>>;

/** Settings by the servers that know them. */
interface SettingsByServer {
  readonly both: Settings;
  readonly mysql: Settings;
  readonly mariadb: Settings;
}

/** No limit, for variables of 64 bits. Their DEFAULT would be what the server is set to. */
const unlimited = '18446744073709551615';

/**
 * Every session variable that a result, a promise or a limit of the service depends on, whatever the server's own
 * settings and its `init_connect`. docs/decisions.md says how the other variables were reviewed. All of these can
 * be set without privileges (MySQL 8.4 manual, section 7.1.9.1).
 */
function settingsFor({
  lockWaitSeconds,
  statementSeconds = 0,
  idleSeconds = 28_800,
}: SessionLimits): SettingsByServer {
  return {
    both: {
      // What is written outside of a transaction is kept, and COMMIT does nothing but commit.
      autocommit: 1,
      completion_type: "'NO_CHAIN'",

      // Values are escaped for UTF-8. In some other sets a quote could hide in a character, and letters
      // that a set lacks would become question marks.
      character_set_client: "'utf8mb4'",
      character_set_results: "'utf8mb4'",
      collation_connection: "'utf8mb4_bin'",
      time_zone: "'+00:00'",

      // In the order in which the server gives them back.
      sql_mode:
        "'STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
      foreign_key_checks: 1,
      unique_checks: 1,

      // No statement is refused or cut short by rules for people who type SQL. The order of these two
      // matters: the first sets the second.
      max_join_size: unlimited,
      sql_big_selects: 1,
      sql_select_limit: unlimited,
      sql_safe_updates: 0,
      sql_auto_is_null: 0,
      // Ids and cursors are sorted by all of their bytes.
      max_sort_length: 1024,

      // Row locks and metadata locks: the second waits for a year by default.
      innodb_lock_wait_timeout: lockWaitSeconds,
      lock_wait_timeout: lockWaitSeconds,
      // The pool closes idle connections before. This is for those whose client has frozen, or whose machine is lost.
      wait_timeout: idleSeconds,

      // `duplicateKey` and `nullColumn` read names in errors.
      lc_messages: "'en_US'",

      // For migrations: Knex's own tables name no engine, and a check is stored as it would be shown.
      default_storage_engine: "'InnoDB'",
      sql_quote_show_create: 1,
    },
    mysql: {
      // Here and not per transaction, which would cost a round trip each.
      transaction_isolation: "'READ-COMMITTED'",
      transaction_read_only: 0,
      max_execution_time: statementSeconds * 1_000,
      // ListSessionRows takes a step for each row of a page.
      cte_max_recursion_depth: 10_000,
      // With less memory, MySQL would scan the whole table for a long list of ids, and lock rows that are not in it.
      range_optimizer_max_mem_size: 8_388_608,
      // A new primary of a group answers only when it has everything that the old one committed. So a token
      // that was revoked there is revoked here. A stricter setting of the server is kept.
      group_replication_consistency:
        "IF(@@group_replication_consistency = 'EVENTUAL', 'BEFORE_ON_PRIMARY_FAILOVER', @@group_replication_consistency)",
    },
    mariadb: {
      tx_isolation: "'READ-COMMITTED'",
      tx_read_only: 0,
      max_statement_time: statementSeconds,
      // Beyond this, MariaDB leaves rows out and only warns.
      max_recursive_iterations: 10_000,
      optimizer_max_sel_arg_weight: 32_000,
      check_constraint_checks: 1,
      // `insertNew` reads a warning for every row, and MariaDB keeps 64 by default.
      max_error_count: 65_535,
      // A Galera node that has lost its cluster must not answer from what it has.
      wsrep_dirty_reads: 0,
    },
  };
}

/** The least values of variables that can't be set without a privilege, or not at all. */
const least: Settings = {
  // `insertNew` adds at most 512 rows, the most calls of a group.
  max_error_count: 512,
  // The largest statements copy the sessions of a group: 3.5 MB for 512 calls with the longest values.
  max_allowed_packet: 4_194_304,
};

/**
 * A column, for MySQL: whether Group Replication, if it is used, has a single primary. Row locks do not reach other
 * nodes, so with several primaries a session could be changed while it is copied. The variable exists if the plugin
 * is loaded, and everybody may read it (MySQL 8.4 manual, section 29.12.14).
 */
const onePrimary = `
  /*!80000 , NOT EXISTS (
    SELECT 1 FROM performance_schema.global_variables
    WHERE VARIABLE_NAME = 'group_replication_single_primary_mode' AND VARIABLE_VALUE = 'OFF'
  ) AS \`group_replication_single_primary_mode = ON\` */`;

/**
 * Sets the variables of a new session that the service relies on, and checks the result: a server may reduce a
 * value silently, and a proxy may not pass a statement on. Takes two round trips.
 *
 * On a Galera node, the second one waits until the node has what the cluster has committed by then (MariaDB
 * documentation, `wsrep_sync_wait`). So after a failover, a session sees everything that was committed before.
 *
 * @throws UnfitServer if something does not hold. It says what.
 */
export async function setSession(session: Connection, limits: SessionLimits): Promise<void> {
  const settings = settingsFor(limits);
  await session.query(`SET SESSION ${forServer(settings, (name, value) => `${name} = ${value}`)}`);
  const conditions = [listed(least, condition('>=')), forServer(settings, condition('='))];
  const [[found]] = await session.query<RowDataPacket[]>(
    `/*M! SET STATEMENT wsrep_sync_wait = 1 FOR */ SELECT ${conditions.join(', ')} ${onePrimary}`,
  );
  const broken = Object.entries(found ?? {}).filter(([, holds]) => holds !== 1);
  if (broken.length === 0) return;
  throw new UnfitServer(
    `the database server must be set so that ${broken.map(([text]) => text).join(', and ')}`,
  );
}

/** SQL of one setting. */
type Render = (name: string, value: string | number) => string;

/** A condition on a variable, in a column that is called like it. */
function condition(sign: '=' | '>='): Render {
  return (name, value) => {
    const text = `${name} ${sign} ${value}`;
    return `@@${text} AS \`${text}\``;
  };
}

/** SQL of the settings that the server knows. The others stand in comments, as in `store/sessions/lock.ts`. */
function forServer({ both, mysql, mariadb }: SettingsByServer, render: Render): string {
  return `${listed(both, render)} /*!80000 , ${listed(mysql, render)} */ /*M! , ${listed(mariadb, render)} */`;
}

function listed(settings: Settings, render: Render): string {
  return Object.entries(settings)
    .map(([name, value]) => render(name, value))
    .join(', ');
}
