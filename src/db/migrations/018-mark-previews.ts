import type { Knex } from 'knex';

/**
 * Refused previews are recorded like refused imports, and marked. An older service does not set the mark,
 * and need not: it records imports alone.
 */
export async function up(knex: Knex): Promise<void> {
  await knex.schema.alterTable('import_refusals', (table) => {
    table.boolean('preview').notNullable().defaultTo(false);
  });
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.alterTable('import_refusals', (table) => {
    table.dropColumn('preview');
  });
}
