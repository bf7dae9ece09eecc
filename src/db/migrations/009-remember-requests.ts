import type { Knex } from 'knex';
import { alterTable } from './changes';

/**
 * The ledger remembers requests that were given an id: what was asked, as a digest, and what was
 * answered. One statement each way, for the reason that 008 gives.
 */
export async function up(knex: Knex): Promise<void> {
  await alterTable(
    knex,
    'session_imports',
    { adds: 'request_id' },
    `ADD COLUMN request_id BINARY(16),
       ADD COLUMN request_digest BINARY(32),
       ADD COLUMN answer MEDIUMBLOB,
       ADD UNIQUE KEY session_imports_application_id_request_id_unique (application_id, request_id)`,
  );
}

export async function down(knex: Knex): Promise<void> {
  await alterTable(
    knex,
    'session_imports',
    { drops: 'request_id' },
    `DROP KEY session_imports_application_id_request_id_unique,
       DROP COLUMN answer,
       DROP COLUMN request_digest,
       DROP COLUMN request_id`,
  );
}
