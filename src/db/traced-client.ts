import type { Knex } from 'knex';
import MySql2Client from 'knex/lib/dialects/mysql2';
import { inStatementSpan } from '../telemetry/spans';
import { databaseFailure, isOutOfReach, NotConnected } from './errors';

/** What Knex is about to send, and the response: the results and their fields. */
interface Statement {
  readonly sql: string;
  response?: readonly [unknown, unknown];
}

/** A connection of mysql2, with the marks that Knex and this file set on it. */
interface Connection {
  readonly config: { readonly multipleStatements: boolean };
  __knex__disposed?: unknown;
  /** What begins a transaction, and is sent with its first statement. */
  heldBack?: readonly string[];
}

/** What Knex sends to begin and to end a transaction. */
const beginsTransaction = /^(BEGIN|SET TRANSACTION ISOLATION LEVEL [a-z ]+);$/;
const endsTransaction = /^(COMMIT|ROLLBACK)\b/;

/**
 * Knex's client for MySQL, which also decides when a connection is not used any more.
 *
 * It makes a span for every statement. This includes BEGIN and COMMIT, for which Knex emits no event.
 */
export class TracedClient extends MySql2Client {
  /** The connections that may be used. */
  private usable = new WeakSet();

  /**
   * Makes a connection to the database's current address; Knex itself would read the address only once.
   *
   * @throws NotConnected
   */
  override async acquireRawConnection(): Promise<object> {
    const { usable } = this;
    let encrypted: boolean | undefined;
    try {
      const { connection: settings } = this.config as { connection: Knex.ConnectionConfigProvider };
      this.connectionSettings = typeof settings === 'function' ? await settings() : settings;
      encrypted = 'ssl' in this.connectionSettings;
      const connection = await super.acquireRawConnection();
      usable.add(connection);
      return connection;
    } catch (error) {
      throw new NotConnected(error as Error, encrypted);
    }
  }

  /** Has every connection closed before its next use, also those that are being made. */
  retireConnections(): void {
    this.usable = new WeakSet();
  }

  override async validateConnection(connection: object): Promise<boolean> {
    return this.usable.has(connection) && (await super.validateConnection(connection));
  }

  /**
   * Sends a statement. If a connection takes several statements at once, what begins a transaction is held back and
   * sent with its first statement, to save round trips.
   *
   * After an "unreachable" error, the connection is closed, because it may lead to the wrong server.
   */
  override async _query(connection: Connection, statement: Statement): Promise<unknown> {
    const { heldBack = [] } = connection;
    if (beginsTransaction.test(statement.sql) && connection.config.multipleStatements) {
      connection.heldBack = [...heldBack, statement.sql];
      return statement;
    }
    connection.heldBack = [];
    const first = endsTransaction.test(statement.sql) ? [] : heldBack;
    const sent =
      first.length > 0 ? { ...statement, sql: [...first, statement.sql].join('\n') } : statement;
    try {
      await inStatementSpan(statement.sql, () => super._query(connection, sent));
      if (sent !== statement) statement.response = without(first.length, sent.response);
      return statement;
    } catch (error) {
      if (isOutOfReach(databaseFailure(error))) connection.__knex__disposed = error;
      throw error;
    }
  }

  /** Streams the rows of a statement. What was held back is sent first: its results would disturb the stream. */
  override async _stream(
    connection: Connection,
    statement: object,
    ...rest: readonly unknown[]
  ): Promise<unknown> {
    const { heldBack = [] } = connection;
    connection.heldBack = [];
    for (const sql of heldBack) await super._query(connection, { sql });
    return super._stream(connection, statement, ...rest);
  }
}

/** A response without the results of the first statements, in the shape that it would have without these. */
function without(
  count: number,
  response: Statement['response'],
): NonNullable<Statement['response']> {
  const [allResults, allFields] = response as [unknown[], unknown[]];
  const results = allResults.slice(count);
  const fields = allFields.slice(count);
  return results.length === 1 ? [results[0], fields[0]] : [results, fields];
}
