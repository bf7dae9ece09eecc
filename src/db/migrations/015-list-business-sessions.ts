import type { Knex } from 'knex';
import { alterTable } from './changes';

/** An application's business sessions can be listed by time. */
export async function up(knex: Knex): Promise<void> {
  await alterTable(
    knex,
    'business_sessions',
    { adds: 'business_sessions_application_id_created_at_index' },
    `ADD KEY business_sessions_application_id_created_at_index (application_id, created_at)`,
  );
}

export async function down(knex: Knex): Promise<void> {
  await alterTable(
    knex,
    'business_sessions',
    { drops: 'business_sessions_application_id_created_at_index' },
    'DROP KEY business_sessions_application_id_created_at_index',
  );
}
