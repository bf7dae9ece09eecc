import type { Knex } from 'knex';
import { alterTable } from './changes';

const sessions = ['user_sessions', 'business_sessions'];

/**
 * Sessions say when they were verified, and workflows which sessions they take.
 *
 * An older service that still runs makes copies without this time. So a copy without it does not count as verified
 * when it was made: see `verifiedAt` in `store/sessions/verified-at.ts`.
 */
export async function up(knex: Knex): Promise<void> {
  for (const table of sessions) {
    await alterTable(
      knex,
      table,
      { adds: 'verified_at' },
      'ADD COLUMN verified_at DATETIME(6) NULL',
    );
  }
  await alterTable(knex, 'workflows', { adds: 'acceptance' }, 'ADD COLUMN acceptance JSON NULL');
}

export async function down(knex: Knex): Promise<void> {
  await alterTable(knex, 'workflows', { drops: 'acceptance' }, 'DROP COLUMN acceptance');
  for (const table of sessions) {
    await alterTable(knex, table, { drops: 'verified_at' }, 'DROP COLUMN verified_at');
  }
}
