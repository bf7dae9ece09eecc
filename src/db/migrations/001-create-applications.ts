import type { Knex } from 'knex';
import { createTable } from './changes';
import { moment, uuid } from './columns';

export async function up(knex: Knex): Promise<void> {
  await createTable(knex, 'applications', (table) => {
    uuid(table, 'id').primary();
    table.string('name', 255).notNullable();
    moment(table, 'created_at').notNullable();
  });

  await createTable(knex, 'api_keys', (table) => {
    uuid(table, 'id').primary();
    uuid(table, 'application_id').notNullable().references('id').inTable('applications');
    table.string('name', 255).notNullable();
    // Only the SHA-256 of a key is kept: whoever reads this table cannot call the service.
    table.specificType('key_hash', 'binary(32)').notNullable().unique();
    table.json('privileges').notNullable();
    moment(table, 'created_at').notNullable();
    moment(table, 'expires_at');
    moment(table, 'revoked_at');
  });

  // Not a column of applications: every session that is inserted share-locks its application's row,
  // and giving out numbers must not wait for that.
  await createTable(knex, 'session_counters', (table) => {
    uuid(table, 'application_id').primary().references('id').inTable('applications');
    table.bigInteger('next_number').unsigned().notNullable();
  });
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.dropTableIfExists('session_counters');
  await knex.schema.dropTableIfExists('api_keys');
  await knex.schema.dropTableIfExists('applications');
}
