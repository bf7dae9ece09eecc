import type { Knex } from 'knex';
import { createTable } from './changes';
import { moment, uuid, vendorData } from './columns';

const tables = ['vendor_users', 'vendor_businesses'];

export async function up(knex: Knex): Promise<void> {
  for (const name of tables) {
    await createTable(knex, name, (table) => {
      uuid(table, 'id').primary();
      uuid(table, 'application_id').notNullable().references('id').inTable('applications');
      vendorData(table).notNullable();
      moment(table, 'created_at').notNullable();
      table.unique(['application_id', 'vendor_data']);
    });
  }
}

export async function down(knex: Knex): Promise<void> {
  for (const name of tables) await knex.schema.dropTableIfExists(name);
}
