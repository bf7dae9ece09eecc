import type { Knex } from 'knex';
import { alterTable } from './changes';

/**
 * An import marks its share token. So an import and a revocation write the same row, and a cluster that takes
 * writes on several nodes lets only one of them commit. An older service does not set the mark, so the ledger
 * says what was redeemed.
 */
export async function up(knex: Knex): Promise<void> {
  await alterTable(
    knex,
    'share_tokens',
    { adds: 'redeemed_at' },
    'ADD redeemed_at DATETIME(6) NULL',
  );
}

export async function down(knex: Knex): Promise<void> {
  await alterTable(knex, 'share_tokens', { drops: 'redeemed_at' }, 'DROP COLUMN redeemed_at');
}
