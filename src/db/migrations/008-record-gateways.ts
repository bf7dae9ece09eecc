import type { Knex } from 'knex';
import { alterTable } from './changes';

/**
 * The ledger can record a gateway that acted for an application without an API key: an entry has one or the
 * other. There is no check constraint for that, since MySQL would copy the table to add one, and block writes.
 *
 * One statement each way: MySQL can't undo half of two.
 */
export async function up(knex: Knex): Promise<void> {
  await alterTable(
    knex,
    'session_imports',
    { adds: 'gateway' },
    'MODIFY api_key_id BINARY(16) NULL, ADD COLUMN gateway VARCHAR(255)',
  );
}

export async function down(knex: Knex): Promise<void> {
  // An older program knows API keys only; the nil UUID (RFC 9562, section 5.9) says that there is none.
  await knex('session_imports')
    .whereNull('api_key_id')
    .update({ api_key_id: Buffer.alloc(16) });
  await alterTable(
    knex,
    'session_imports',
    { drops: 'gateway' },
    'DROP COLUMN gateway, MODIFY api_key_id BINARY(16) NOT NULL',
  );
}
