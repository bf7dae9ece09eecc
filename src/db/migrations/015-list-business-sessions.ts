import type { Knex } from 'knex';

/** An application's business sessions can be listed by time. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(
    `ALTER TABLE business_sessions
       ADD KEY business_sessions_application_id_created_at_index (application_id, created_at)`,
  );
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(
    'ALTER TABLE business_sessions DROP KEY business_sessions_application_id_created_at_index',
  );
}
