import type { Knex } from 'knex';
import { alterTable } from './changes';

/**
 * Which relations are shared, as their names with commas between them: kept with each share token, import, refusal
 * and copy. Null: all of them, as with everything from before. An older service leaves it out.
 */
export async function up(knex: Knex): Promise<void> {
  for (const table of tables) {
    await alterTable(
      knex,
      table,
      { adds: 'shared_relations' },
      'ADD COLUMN shared_relations VARCHAR(2048) NULL',
    );
  }
}

export async function down(knex: Knex): Promise<void> {
  for (const table of tables.toReversed()) {
    await alterTable(knex, table, { drops: 'shared_relations' }, 'DROP COLUMN shared_relations');
  }
}

const tables = [
  'user_sessions',
  'business_sessions',
  'share_tokens',
  'session_imports',
  'import_refusals',
];
