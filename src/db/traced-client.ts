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
  /** Whether a transaction begins with the next statement. */
  beginsNext?: boolean;
}

/** What Knex sends to begin and to end a transaction. */
const begin = 'BEGIN;';
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
   * Sends a statement. If a connection takes several statements at once, BEGIN is held back and sent with the first
   * statement of its transaction, to save a round trip.
   *
   * After an "unreachable" error, the connection is closed, because it may lead to the wrong server.
   */
  override async _query(connection: Connection, statement: Statement): Promise<unknown> {
    if (statement.sql === begin && connection.config.multipleStatements) {
      connection.beginsNext = true;
      return statement;
    }
    const beginsHere = connection.beginsNext === true && !endsTransaction.test(statement.sql);
    connection.beginsNext = false;
    const sent = beginsHere ? { ...statement, sql: `${begin}\n${statement.sql}` } : statement;
    try {
      await inStatementSpan(statement.sql, () => super._query(connection, sent));
      if (beginsHere) statement.response = withoutFirst(sent.response);
      return statement;
    } catch (error) {
      if (isOutOfReach(databaseFailure(error))) connection.__knex__disposed = error;
      throw error;
    }
  }

  /** Streams the rows of a statement. BEGIN is sent first, by itself: its result would disturb the stream. */
  override async _stream(
    connection: Connection,
    statement: object,
    ...rest: readonly unknown[]
  ): Promise<unknown> {
    if (connection.beginsNext === true) {
      connection.beginsNext = false;
      await super._query(connection, { sql: begin });
    }
    return super._stream(connection, statement, ...rest);
  }
}

/** A response without the result of the first statement, in the shape that it would have without this statement. */
function withoutFirst(response: Statement['response']): NonNullable<Statement['response']> {
  const [[, ...results], [, ...fields]] = response as [unknown[], unknown[]];
  return results.length === 1 ? [results[0], fields[0]] : [results, fields];
}
