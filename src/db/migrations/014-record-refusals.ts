import type { Knex } from 'knex';
import { createTable } from './changes';
import { moment, sessionKinds, uuid } from './columns';

/**
 * Attempts to import that were refused. Like the ledger, it has no foreign keys: it outlives the keys
 * and sessions that it names.
 *
 * An application's refusals lie together, in the order of time, for whoever lists them. The key on the
 * moment is for the operator who deletes old ones: a DELETE that had to look for them would lock all
 * others on its way.
 */
export async function up(knex: Knex): Promise<void> {
  await createTable(knex, 'import_refusals', (table) => {
    uuid(table, 'application_id').notNullable();
    moment(table, 'created_at').notNullable();
    uuid(table, 'id').notNullable();
    table.string('reason', 64).notNullable();
    // What the token said, if it was genuine.
    table.enu('session_kind', sessionKinds);
    uuid(table, 'source_session_id');
    uuid(table, 'source_application_id');
    table.specificType('token_digest', 'binary(32)');
    table.string('token_key_id', 255);
    table.string('token_id', 255);
    uuid(table, 'api_key_id');
    table.string('gateway', 255);
    table.primary(['application_id', 'created_at', 'id']);
    table.index('created_at');
  });
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.dropTableIfExists('import_refusals');
}
