import type { Connection } from 'mysql2/promise';
import { errorCode } from '../model/problems';

/** How long statements of a session may take. */
export interface SessionLimits {
  /** How long a statement waits for a lock, in seconds: MySQL takes whole ones, at least 1. */
  readonly lockWaitSeconds: number;
  /**
   * How long a statement that reads may run on the server, in seconds. Then the server stops it, even
   * if nobody waits for it any more. Undefined: for ever.
   */
  readonly statementSeconds?: number;
}

/**
 * What every connection is set to, whatever the server's defaults are. READ COMMITTED is set here
 * and not per transaction, which would cost a round trip each.
 */
const sessionSettings = [
  'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
  // `insertNew` reads a warning for every row. MariaDB keeps too few by default. MySQL keeps 1,024, which
  // is enough; to change that would take a privilege.
  "SET SESSION time_zone = '+00:00' /*M! , max_error_count = 65535 */",
  'SET SESSION foreign_key_checks = 1',
  // `duplicateKey` and `nullColumn` read names in errors.
  "SET SESSION lc_messages = 'en_US'",
  "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,NO_ZERO_DATE,NO_ZERO_IN_DATE'",
];

/** Sets a new session to what the service relies on. */
export async function setSession(session: Connection, limits: SessionLimits): Promise<void> {
  for (const statement of sessionSettings) await session.query(statement);
  const wait = limits.lockWaitSeconds;
  // Row locks and metadata locks: the second waits for a year by default.
  await session.query('SET SESSION innodb_lock_wait_timeout = ?, lock_wait_timeout = ?', [
    wait,
    wait,
  ]);
  if (limits.statementSeconds !== undefined)
    await limitStatements(session, limits.statementSeconds);
}

/**
 * Limits the time of statements that read (MySQL 8.4 manual, `max_execution_time`). MariaDB has another
 * variable for it, in seconds (MariaDB documentation, `max_statement_time`).
 */
async function limitStatements(session: Connection, seconds: number): Promise<void> {
  try {
    await session.query('SET SESSION max_execution_time = ?', [seconds * 1_000]);
  } catch (error) {
    if (errorCode(error as Error) !== 'ER_UNKNOWN_SYSTEM_VARIABLE') throw error;
    await session.query('SET SESSION max_statement_time = ?', [seconds]);
  }
}
