import type { Knex } from 'knex';
import { alterTable } from './changes';

/**
 * The ledger learns that an import can take the sessions of key people along: their entries have no
 * token of their own, and name the import that has one, by its copy. An answer that lists them may
 * outgrow a BLOB: where 009 ran as it is now, that part changes nothing, and no table is copied.
 *
 * One statement each way, for the reason that 008 gives.
 */
export async function up(knex: Knex): Promise<void> {
  await alterTable(
    knex,
    'session_imports',
    { adds: 'linked_to_session_id' },
    `MODIFY token_digest BINARY(32) NULL,
       MODIFY answer MEDIUMBLOB NULL,
       ADD COLUMN linked_to_session_id BINARY(16)`,
  );
}

export async function down(knex: Knex): Promise<void> {
  // An older program wants a digest, which is unique to the session: the id of the original and zeros,
  // which no token has for its digest.
  await knex.raw(
    `UPDATE session_imports SET token_digest = CONCAT(source_session_id, ?)
     WHERE token_digest IS NULL`,
    [Buffer.alloc(16)],
  );
  await alterTable(
    knex,
    'session_imports',
    { drops: 'linked_to_session_id' },
    `DROP COLUMN linked_to_session_id,
       MODIFY token_digest BINARY(32) NOT NULL`,
  );
}
