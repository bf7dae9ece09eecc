import type { Knex } from 'knex';
import { createTable } from './changes';
import { moment, sessionKinds, sessionStatuses, uuid } from './columns';

/**
 * The ledger of imports. It has no foreign keys: it outlives the sessions, keys and applications
 * that it names, so that a session imported once stays imported, and an auditor can still ask.
 */
export async function up(knex: Knex): Promise<void> {
  await createTable(knex, 'session_imports', (table) => {
    uuid(table, 'application_id').notNullable();
    uuid(table, 'source_session_id').notNullable();
    uuid(table, 'source_application_id').notNullable();
    table.enu('session_kind', sessionKinds).notNullable();
    table.enu('source_status', sessionStatuses).notNullable();
    uuid(table, 'session_id').notNullable().unique();
    table.boolean('trust_review').notNullable();
    uuid(table, 'api_key_id').notNullable();
    table.specificType('token_digest', 'binary(32)').notNullable();
    table.string('token_key_id', 255);
    table.string('token_id', 255);
    moment(table, 'created_at').notNullable();
    table.primary(['application_id', 'source_session_id']);
    table.unique(['application_id', 'token_digest']);
  });
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.dropTableIfExists('session_imports');
}
