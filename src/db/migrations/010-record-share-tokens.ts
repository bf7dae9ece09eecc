import type { Knex } from 'knex';
import { createTable } from './changes';
import { moment, sessionKinds, uuid } from './columns';

/**
 * The share tokens that the service has made, by their `jti`; never the tokens themselves. Like the
 * ledger, it has no foreign keys: whom a session was shared with can be asked after it was deleted.
 */
export async function up(knex: Knex): Promise<void> {
  await createTable(knex, 'share_tokens', (table) => {
    uuid(table, 'id').primary();
    uuid(table, 'application_id').notNullable();
    uuid(table, 'session_id').notNullable();
    table.enu('session_kind', sessionKinds).notNullable();
    uuid(table, 'for_application_id').notNullable();
    table.boolean('linked_sessions').notNullable();
    uuid(table, 'api_key_id');
    table.string('gateway', 255);
    moment(table, 'created_at').notNullable();
    moment(table, 'expires_at').notNullable();
    moment(table, 'revoked_at');
    uuid(table, 'revoked_by_api_key_id');
    table.string('revoked_by_gateway', 255);
    table.index(['session_id', 'id']);
  });
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.dropTableIfExists('share_tokens');
}
