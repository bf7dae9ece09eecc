import type { Knex } from 'knex';
import { alterTable } from './changes';

/**
 * Indexes of the ledger by time: for the application that imported, and for the one whose sessions were
 * imported. InnoDB adds the primary key to each, so that imports of the same microsecond have an order as
 * well, and a page is read in the order of the index.
 *
 * The index by token digest is dropped, because every import has to write it, and it is not needed: a token is
 * for one session, and the primary key is unique for each session of an application.
 */
export async function up(knex: Knex): Promise<void> {
  await alterTable(
    knex,
    'session_imports',
    { adds: 'session_imports_application_id_created_at' },
    `DROP KEY session_imports_application_id_token_digest_unique,
       ADD KEY session_imports_application_id_created_at (application_id, created_at),
       ADD KEY session_imports_source_application_id_created_at (source_application_id, created_at)`,
  );
}

export async function down(knex: Knex): Promise<void> {
  await alterTable(
    knex,
    'session_imports',
    { drops: 'session_imports_application_id_created_at' },
    `DROP KEY session_imports_source_application_id_created_at,
       DROP KEY session_imports_application_id_created_at,
       ADD UNIQUE KEY session_imports_application_id_token_digest_unique
         (application_id, token_digest)`,
  );
}
