import type { Knex } from 'knex';
import { createTable } from './changes';
import { json, moment, sessionStatuses, uuid, vendorData } from './columns';

const tables = [
  { name: 'user_sessions', vendorEntities: 'vendor_users' },
  { name: 'business_sessions', vendorEntities: 'vendor_businesses' },
];

export async function up(knex: Knex): Promise<void> {
  for (const { name, vendorEntities } of tables) {
    await createTable(knex, name, (table) => {
      uuid(table, 'id').primary();
      uuid(table, 'application_id').notNullable().references('id').inTable('applications');
      table.bigInteger('session_number').unsigned().notNullable();
      table.string('session_token', 64).notNullable().unique();
      table.enu('status', sessionStatuses).notNullable();
      uuid(table, 'workflow_id').notNullable().references('id').inTable('workflows');
      table.integer('workflow_version').unsigned().notNullable();
      uuid(table, 'vendor_entity_id').references('id').inTable(vendorEntities);
      vendorData(table);
      json(table, 'features', 'metadata', 'expected_details', 'contact_details');
      table.string('callback', 2048);
      table.string('language', 35);
      // Not foreign keys: a copy outlives its original.
      uuid(table, 'shared_from_session_id');
      uuid(table, 'shared_from_application_id');
      moment(table, 'created_at').notNullable();
      moment(table, 'updated_at').notNullable();
      table.unique(['application_id', 'session_number']);
      table.unique(['application_id', 'shared_from_session_id']);
    });
  }
}

export async function down(knex: Knex): Promise<void> {
  for (const { name } of tables) await knex.schema.dropTableIfExists(name);
}
