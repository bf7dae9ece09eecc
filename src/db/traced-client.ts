import MySql2Client from 'knex/lib/dialects/mysql2';
import { inStatementSpan } from '../telemetry/spans';

/** What Knex is about to send. */
interface Statement {
  readonly sql: string;
}

/**
 * Knex's client for MySQL, with a span for every statement. This includes BEGIN and COMMIT, for
 * which Knex emits no event.
 */
export class TracedClient extends MySql2Client {
  override _query(connection: unknown, statement: Statement): Promise<unknown> {
    return inStatementSpan(statement.sql, () => super._query(connection, statement));
  }
}
