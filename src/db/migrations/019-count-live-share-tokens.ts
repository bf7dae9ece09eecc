import type { Knex } from 'knex';
import { alterTable } from './changes';

/**
 * An index of a session's live share tokens: they are counted and revoked without reading all tokens that
 * the session ever had.
 */
export async function up(knex: Knex): Promise<void> {
  await alterTable(
    knex,
    'share_tokens',
    { adds: 'share_tokens_session_id_revoked_at_expires_at_index' },
    `ADD KEY share_tokens_session_id_revoked_at_expires_at_index
         (session_id, revoked_at, expires_at)`,
  );
}

export async function down(knex: Knex): Promise<void> {
  await alterTable(
    knex,
    'share_tokens',
    { drops: 'share_tokens_session_id_revoked_at_expires_at_index' },
    'DROP KEY share_tokens_session_id_revoked_at_expires_at_index',
  );
}
