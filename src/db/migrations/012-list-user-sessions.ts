import type { Knex } from 'knex';

/** An application's user sessions can be listed by time. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(
    `ALTER TABLE user_sessions
       ADD KEY user_sessions_application_id_created_at_index (application_id, created_at)`,
  );
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(
    'ALTER TABLE user_sessions DROP KEY user_sessions_application_id_created_at_index',
  );
}
