import type { Knex } from 'knex';
import { alterTable } from './changes';

/**
 * The ledger can record linked sessions, those of key people that are imported with a business session. Their
 * entries have no token of their own, but name the copy of the business session, whose entry has it. An answer
 * that lists them may be too large for a BLOB: if 009 ran in its present form, that part changes nothing, and
 * no table is copied.
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
  // An older program needs a digest that is unique for the session: the id of the original and zeros, which is
  // the digest of no token.
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
