import type { Knex } from 'knex';
import { alterTable } from './changes';

/**
 * Refused previews are recorded like refused imports, and marked. An older service does not set the mark,
 * and need not: it records imports alone.
 */
export async function up(knex: Knex): Promise<void> {
  await alterTable(
    knex,
    'import_refusals',
    { adds: 'preview' },
    "ADD preview BOOLEAN NOT NULL DEFAULT '0'",
  );
}

export async function down(knex: Knex): Promise<void> {
  await alterTable(knex, 'import_refusals', { drops: 'preview' }, 'DROP COLUMN preview');
}
