import type { Knex } from 'knex';

/**
 * Refused calls that were only to validate an import are recorded like refused imports, and marked. A
 * service that does not know of the mark leaves it out: it records imports alone.
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
