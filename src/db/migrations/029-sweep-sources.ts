import type { Knex } from 'knex';
import { alterTable, createTable } from './changes';

const sessions = ['user_sessions', 'business_sessions'];

/**
 * Sessions that the platform changes or deletes by itself are found by sweeps, and whoever has a copy is told. A new
 * index on `updated_at` lists changes in their order.
 */
export async function up(knex: Knex): Promise<void> {
  for (const table of sessions) {
    const index = `${table}_updated_at_index`;
    await alterTable(knex, table, { adds: index }, `ADD INDEX ${index} (updated_at)`);
  }
  await createTable(knex, 'source_sweeps', (table) => {
    table.string('name', 32).primary();
    // A cursor in JSON: how far the sweep has come; null: it begins.
    table.string('place', 255);
  });
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.dropTableIfExists('source_sweeps');
  for (const table of sessions) {
    const index = `${table}_updated_at_index`;
    await alterTable(knex, table, { drops: index }, `DROP INDEX ${index}`);
  }
}
