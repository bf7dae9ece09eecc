/**
 * What went wrong between this service and MySQL, as far as it decides what to do next:
 *
 * - `conflict`: lost a deadlock. MySQL has rolled the transaction back; try the same again.
 * - `lock wait`: waited too long for a row that somebody holds.
 * - `unreachable`: the connection was lost, killed or never made. What it was doing, COMMIT
 *   included, may or may not have happened.
 * - `other`: anything else.
 */
export type DatabaseFailure = 'conflict' | 'lock wait' | 'unreachable' | 'other';

/**
 * The codes of mysql2 and of MySQL's error reference (MySQL 8.4 manual, "Server Error Message
 * Reference"), in one place.
 */
const failures = new Map<string, DatabaseFailure>([
  ['ER_LOCK_DEADLOCK', 'conflict'],
  ['ER_LOCK_WAIT_TIMEOUT', 'lock wait'],
  ['ER_CHECKREAD', 'conflict'],

  ['PROTOCOL_CONNECTION_LOST', 'unreachable'],
  ['PROTOCOL_ENQUEUE_AFTER_FATAL_ERROR', 'unreachable'],
  ['PROTOCOL_ENQUEUE_AFTER_QUIT', 'unreachable'],
  ['ECONNREFUSED', 'unreachable'],
  ['ECONNRESET', 'unreachable'],
  ['ECONNABORTED', 'unreachable'],
  ['EHOSTUNREACH', 'unreachable'],
  ['ENETUNREACH', 'unreachable'],
  ['ENOTFOUND', 'unreachable'],
  ['EAI_AGAIN', 'unreachable'],
  ['EPIPE', 'unreachable'],
  ['ETIMEDOUT', 'unreachable'],
  // A killed statement, a server going down, or one that has no room for another connection.
  ['ER_QUERY_INTERRUPTED', 'unreachable'],
  ['ER_SERVER_SHUTDOWN', 'unreachable'],
  ['ER_NORMAL_SHUTDOWN', 'unreachable'],
  ['ER_CON_COUNT_ERROR', 'unreachable'],
  ['ER_TOO_MANY_USER_CONNECTIONS', 'unreachable'],
  ['ER_CLIENT_INTERACTION_TIMEOUT', 'unreachable'],
  ['ER_SESSION_WAS_KILLED', 'unreachable'],
  ['ER_ABORTING_CONNECTION', 'unreachable'],
  // A replica that has not been promoted yet, or a primary that was just demoted.
  ['ER_OPTION_PREVENTS_STATEMENT', 'unreachable'],
  ['ER_READ_ONLY_MODE', 'unreachable'],
]);

/** Tells what kind of failure an error of Knex or mysql2 is. */
export function databaseFailure(error: unknown): DatabaseFailure {
  if (!(error instanceof Error)) return 'other';
  // Knex waited in vain for a connection of its pool.
  if (error.name === 'KnexTimeoutError') return 'unreachable';
  // mysql2 gives this one no code: the statement was queued on a connection that has closed since.
  if (error.message.includes('connection is in closed state')) return 'unreachable';
  return failures.get(databaseErrorCode(error) ?? '') ?? 'other';
}

/** The symbolic code of an error of mysql2, Node.js or MySQL, where it has one. */
export function databaseErrorCode(error: Error): string | undefined {
  return 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/**
 * Whether an error came from the database driver: its message then quotes SQL with the values in
 * it, and must be neither logged nor sent.
 */
export function isDatabaseError(error: Error): boolean {
  return 'sqlState' in error || 'sql' in error || 'sqlMessage' in error;
}
