import type { Knex } from 'knex';
import { alterTable } from './changes';

/** An application's user sessions can be listed by time. */
export async function up(knex: Knex): Promise<void> {
  await alterTable(
    knex,
    'user_sessions',
    { adds: 'user_sessions_application_id_created_at_index' },
    `ADD KEY user_sessions_application_id_created_at_index (application_id, created_at)`,
  );
}

export async function down(knex: Knex): Promise<void> {
  await alterTable(
    knex,
    'user_sessions',
    { drops: 'user_sessions_application_id_created_at_index' },
    'DROP KEY user_sessions_application_id_created_at_index',
  );
}
