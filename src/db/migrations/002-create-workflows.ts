import type { Knex } from 'knex';
import { createTable } from './changes';
import { moment, sessionKinds, uuid } from './columns';

export async function up(knex: Knex): Promise<void> {
  await createTable(knex, 'workflows', (table) => {
    uuid(table, 'id').primary();
    uuid(table, 'application_id').notNullable().references('id').inTable('applications');
    table.enu('kind', sessionKinds).notNullable();
    table.string('name', 255).notNullable();
    table.integer('version').unsigned().notNullable();
    moment(table, 'created_at').notNullable();
    moment(table, 'updated_at').notNullable();
  });
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.dropTableIfExists('workflows');
}
