import type { Knex } from 'knex';
import MySql2Client from 'knex/lib/dialects/mysql2';
import { inStatementSpan } from '../telemetry/spans';
import { databaseFailure, isOutOfReach, NotConnected } from './errors';

/** What Knex is about to send. */
interface Statement {
  readonly sql: string;
}

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

  /** After an "unreachable" error, the connection is closed, because it may lead to the wrong server. */
  override async _query(
    connection: { __knex__disposed?: unknown },
    statement: Statement,
  ): Promise<unknown> {
    try {
      return await inStatementSpan(statement.sql, () => super._query(connection, statement));
    } catch (error) {
      if (isOutOfReach(databaseFailure(error))) connection.__knex__disposed = error;
      throw error;
    }
  }
}
