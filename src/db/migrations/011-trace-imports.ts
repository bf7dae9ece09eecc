import type { Knex } from 'knex';
import { alterTable } from './changes';

/**
 * The ledger by time: for the application that imported, and for the one whose sessions were imported.
 * InnoDB adds the primary key to each, so that what was imported in one microsecond has an order as
 * well, and a page is read as it lies there.
 *
 * An index that every import pays for goes: a token is for one session, so its digest is unique to an
 * application because the session is, which is the primary key.
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
