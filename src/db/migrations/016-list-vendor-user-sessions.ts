import type { Knex } from 'knex';
import { alterTable } from './changes';

/**
 * The sessions of a vendor user can be listed by time. The new key serves the foreign key, too, so that
 * an import keeps no more keys than before.
 */
export async function up(knex: Knex): Promise<void> {
  await alterTable(
    knex,
    'user_sessions',
    { adds: 'user_sessions_vendor_entity_id_created_at_index' },
    `ADD KEY user_sessions_vendor_entity_id_created_at_index (vendor_entity_id, created_at),
       DROP KEY user_sessions_vendor_entity_id_foreign`,
  );
}

export async function down(knex: Knex): Promise<void> {
  await alterTable(
    knex,
    'user_sessions',
    { drops: 'user_sessions_vendor_entity_id_created_at_index' },
    `ADD KEY user_sessions_vendor_entity_id_foreign (vendor_entity_id),
       DROP KEY user_sessions_vendor_entity_id_created_at_index`,
  );
}
