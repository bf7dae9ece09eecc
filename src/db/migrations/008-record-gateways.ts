import type { Knex } from 'knex';
import { uuid } from './columns';

/**
 * The ledger learns that a gateway can act for an application, without an API key: an entry has one
 * or the other. No check says so, since MySQL would copy the table to add one, and block writes.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.schema.alterTable('session_imports', (table) => {
    uuid(table, 'api_key_id').nullable().alter();
    table.string('gateway', 255);
  });
}

export async function down(knex: Knex): Promise<void> {
  // An older program knows API keys only; the nil UUID (RFC 9562, section 5.9) says that there is none.
  await knex('session_imports')
    .whereNull('api_key_id')
    .update({ api_key_id: Buffer.alloc(16) });
  await knex.schema.alterTable('session_imports', (table) => {
    table.dropColumn('gateway');
    uuid(table, 'api_key_id').notNullable().alter();
  });
}
