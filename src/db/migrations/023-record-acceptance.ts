import type { Knex } from 'knex';
import { alterTable } from './changes';

/**
 * The rules for acceptance by which an import was made or refused, and when its original had been verified. They are
 * kept here because workflows change their rules, and copies are deleted. An older service leaves these columns out.
 */
export async function up(knex: Knex): Promise<void> {
  await alterTable(
    knex,
    'session_imports',
    { adds: 'acceptance' },
    'ADD COLUMN acceptance JSON NULL, ADD COLUMN verified_at DATETIME(6) NULL',
  );
  await alterTable(
    knex,
    'import_refusals',
    { adds: 'acceptance' },
    'ADD COLUMN acceptance JSON NULL',
  );
}

export async function down(knex: Knex): Promise<void> {
  await alterTable(knex, 'import_refusals', { drops: 'acceptance' }, 'DROP COLUMN acceptance');
  await alterTable(
    knex,
    'session_imports',
    { drops: 'acceptance' },
    'DROP COLUMN acceptance, DROP COLUMN verified_at',
  );
}
