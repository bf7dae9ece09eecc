import { errorCode, ServiceError } from '../model/problems';

/**
 * The kinds of failure between this service and MySQL, as far as they decide what to do next:
 *
 * - `conflict`: lost a deadlock. MySQL has rolled the transaction back; try the same again.
 * - `lock wait`: waited too long for a row that somebody holds.
 * - `unreachable`: the connection was lost, killed or never made, or leads to a server that does not let
 *   this service read and write, or has no room on its disk or in its memory. What it was doing, COMMIT
 *   included, may or may not have happened.
 * - `silent`: the same, but found only after a timeout: a statement got no answer, or no connection was made.
 * - `too slow`: a statement that reads was stopped, because it ran for longer than it may.
 * - `too large`: the transaction writes more than the server allows one to write.
 * - `other`: anything else.
 */
export type DatabaseFailure =
  | 'conflict'
  | 'lock wait'
  | 'unreachable'
  | 'silent'
  | 'too slow'
  | 'too large'
  | 'other';

/** The error code for a connection that was closed by the read timeout. */
export const silence = 'DATABASE_SILENT';

/**
 * The codes of mysql2 and of MySQL's error reference (MySQL 8.4 manual, "Server Error Message
 * Reference"), in one place.
 */
const failures = new Map<string, DatabaseFailure>([
  ['ER_LOCK_DEADLOCK', 'conflict'],
  ['ER_LOCK_WAIT_TIMEOUT', 'lock wait'],
  ['ER_CHECKREAD', 'conflict'],
  ['ER_QUERY_INTERRUPTED', 'conflict'],
  ['ER_TABLE_DEF_CHANGED', 'conflict'],
  // A row that was read a moment ago and is now referenced (a workflow, for example) was deleted in between.
  ['ER_NO_REFERENCED_ROW_2', 'conflict'],
  // The other way round: a row that nobody needed a moment ago is referenced now, and can't be deleted.
  ['ER_ROW_IS_REFERENCED_2', 'conflict'],
  // Group replication has certified another transaction first.
  ['ER_TRANSACTION_ROLLBACK_DURING_COMMIT', 'conflict'],
  ['ER_ERROR_DURING_COMMIT', 'unreachable'],

  ['ER_QUERY_TIMEOUT', 'too slow'],

  // More than `max_binlog_cache_size`.
  ['ER_TRANS_CACHE_FULL', 'too large'],

  [silence, 'silent'],
  ['ETIMEDOUT', 'silent'],
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
  ['EHOSTDOWN', 'unreachable'],
  ['ENETDOWN', 'unreachable'],
  ['EADDRNOTAVAIL', 'unreachable'],
  ['EMFILE', 'unreachable'],
  ['ERR_STREAM_DESTROYED', 'unreachable'],
  ['ERR_STREAM_WRITE_AFTER_END', 'unreachable'],
  ['ER_NET_READ_ERROR', 'unreachable'],
  ['ER_NET_READ_INTERRUPTED', 'unreachable'],
  ['ER_NET_ERROR_ON_WRITE', 'unreachable'],
  ['ER_NET_WRITE_INTERRUPTED', 'unreachable'],
  // A server going down, or one that has no room for another connection.
  ['ER_SERVER_SHUTDOWN', 'unreachable'],
  ['ER_NORMAL_SHUTDOWN', 'unreachable'],
  ['ER_CON_COUNT_ERROR', 'unreachable'],
  ['ER_TOO_MANY_USER_CONNECTIONS', 'unreachable'],
  ['ER_CLIENT_INTERACTION_TIMEOUT', 'unreachable'],
  ['ER_SESSION_WAS_KILLED', 'unreachable'],
  ['ER_ABORTING_CONNECTION', 'unreachable'],
  ['ER_NEW_ABORTING_CONNECTION', 'unreachable'],
  ['ER_CONNECTION_KILLED', 'unreachable'],
  ['ER_SERVER_OFFLINE_MODE', 'unreachable'],
  // A server that is out of disk space or memory.
  ['EE_WRITE', 'unreachable'],
  ['ER_DISK_FULL', 'unreachable'],
  ['ER_ERROR_ON_WRITE', 'unreachable'],
  ['ER_RECORD_FILE_FULL', 'unreachable'],
  ['ER_BINLOG_LOGGING_IMPOSSIBLE', 'unreachable'],
  ['ER_OUTOFMEMORY', 'unreachable'],
  ['ER_OUT_OF_RESOURCES', 'unreachable'],
  ['ER_TOO_MANY_CONCURRENT_TRXS', 'unreachable'],
  // A replica that has not been promoted yet, or a primary that was just demoted.
  ['ER_OPTION_PREVENTS_STATEMENT', 'unreachable'],
  ['ER_READ_ONLY_MODE', 'unreachable'],
  ['ER_OPEN_AS_READONLY', 'unreachable'],
  ['ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION', 'unreachable'],
  // A node of Galera (1047) or of group replication that has left the majority.
  ['ER_UNKNOWN_COM_ERROR', 'unreachable'],
  ['ER_BEFORE_DML_VALIDATION_ERROR', 'unreachable'],
  ['ER_RUN_HOOK_ERROR', 'unreachable'],
  // A Galera node that loses its cluster during COMMIT: its error has the number 6, which is EE_DELETE's too.
  ['EE_DELETE', 'unreachable'],
  // Rights that were taken away, until somebody gives them back.
  ['ER_DBACCESS_DENIED_ERROR', 'unreachable'],
  ['ER_TABLEACCESS_DENIED_ERROR', 'unreachable'],
  ['ER_COLUMNACCESS_DENIED_ERROR', 'unreachable'],
  ['ER_SPECIFIC_ACCESS_DENIED_ERROR', 'unreachable'],
  ['ER_MUST_CHANGE_PASSWORD', 'unreachable'],
  ['ER_USER_LIMIT_REACHED', 'unreachable'],
]);

/** Error numbers of MariaDB that mysql2 has no code for ("MariaDB Error Codes"). */
const unnamed = new Map<unknown, DatabaseFailure>([
  // ER_CONNECTION_KILLED
  [1_927, 'unreachable'],
  // ER_STATEMENT_TIMEOUT
  [1_969, 'too slow'],
]);

/**
 * Another transaction ended between two statements of this one, so their results contradict each
 * other. The next try sees one consistent state.
 */
export class Overtaken extends Error {
  override readonly name = 'Overtaken';
}

/**
 * A connection could not be made, for whatever reason: the network, TLS, the password, a server without
 * room. It has the code and the message of its cause.
 */
export class NotConnected extends Error {
  override readonly name = 'NotConnected';
  readonly code: string;
  /** What the operator should check, if MySQL has answered and refused the credentials. */
  readonly hint: string | undefined;

  /** @param encrypted whether the connection was to be encrypted. */
  constructor(cause: Error, encrypted = true) {
    super(cause.message, { cause });
    this.code = errorCode(cause) ?? cause.name;
    this.hint = this.code === 'ER_ACCESS_DENIED_ERROR' ? refusedCredentials(encrypted) : undefined;
  }
}

/** MySQL gives the same error for a wrong password and for a user that must connect by TLS. */
function refusedCredentials(encrypted: boolean): string {
  const refused = 'MySQL refused the user or the password of DATABASE_URL';
  if (encrypted) return refused;
  return `${refused}, or the user must connect by TLS (REQUIRE SSL) and DATABASE_TLS is off`;
}

/** The server does not meet the service's requirements. */
export class UnfitServer extends Error {
  override readonly name = 'UnfitServer';
}

/**
 * Errors without a code: a statement was queued on a connection that has closed since, or the pool
 * was closed while somebody waited for a connection.
 */
const unreachableMessages = new Set([
  "Can't add new command when connection is in closed state",
  'Unable to acquire a connection',
  'aborted',
]);

/** Returns the kind of failure of an error of Knex or mysql2. */
export function databaseFailure(error: unknown): DatabaseFailure {
  if (!(error instanceof Error)) return 'other';
  if (error instanceof Overtaken) return 'conflict';
  // If a server accepts connections and then says nothing, or if packets are lost, each try takes seconds.
  if (error instanceof NotConnected)
    return failures.get(error.code) === 'silent' ? 'silent' : 'unreachable';
  if (error instanceof UnfitServer) return 'unreachable';
  // Knex waited in vain for a connection of its pool, or for an answer.
  if (error.name === 'KnexTimeoutError') return 'silent';
  // Knex puts the statement in front.
  if (unreachableMessages.has(error.message.split(' - ').at(-1) ?? '')) return 'unreachable';
  const { errno } = error as { readonly errno?: unknown };
  return failures.get(errorCode(error) ?? '') ?? unnamed.get(errno) ?? 'other';
}

/**
 * The unique key in which a value is taken already; undefined: the error is another one. MySQL puts the table
 * before the key's name, and MariaDB does not. The value stands before both, and is not looked at. The text is
 * English: `session-settings.ts` sets that.
 */
export function duplicateKey(error: unknown): string | undefined {
  return named(error, 'ER_DUP_ENTRY', / for key '(?:[^'.]+\.)?([^'.]+)'$/);
}

/** Whether a row was refused because a row that it refers to is missing. The transaction goes on. */
export function isMissingReference(error: unknown): boolean {
  return error instanceof Error && errorCode(error) === 'ER_NO_REFERENCED_ROW_2';
}

/** The column that was given no value and must have one; undefined: the error is another one. */
export function nullColumn(error: unknown): string | undefined {
  return named(error, 'ER_BAD_NULL_ERROR', /^Column '([^']+)' cannot be null$/);
}

/** What a pattern finds in the server's own text of an error with a code. */
function named(error: unknown, code: string, pattern: RegExp): string | undefined {
  if (!(error instanceof Error) || errorCode(error) !== code) return undefined;
  const { sqlMessage } = error as { readonly sqlMessage?: unknown };
  return typeof sqlMessage === 'string' ? pattern.exec(sqlMessage)?.[1] : undefined;
}

/** Whether the database can't be used at all, so that an immediate retry would hardly help. */
export function isOutOfReach(failure: DatabaseFailure): boolean {
  return failure === 'unreachable' || failure === 'silent';
}

/** Turns any error into the one that the caller gets. The original error stays as the cause. */
export function toServiceError(error: unknown): ServiceError {
  if (error instanceof ServiceError) return error;
  switch (databaseFailure(error)) {
    case 'conflict':
    case 'lock wait':
      return new ServiceError({ reason: 'CONFLICT' }, { cause: error });
    case 'too slow':
      return new ServiceError({ reason: 'DATABASE_TOO_SLOW' }, { cause: error });
    case 'too large':
      return new ServiceError({ reason: 'SESSION_TOO_LARGE' }, { cause: error });
    case 'unreachable':
    case 'silent':
      return new ServiceError({ reason: 'DATABASE_UNAVAILABLE' }, { cause: error });
    case 'other':
      return new ServiceError({ reason: 'INTERNAL' }, { cause: error });
  }
}
