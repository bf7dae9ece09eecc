import type { Knex } from 'knex';
import { alterTable } from './changes';

/**
 * The sessions of a vendor business can be listed by time. The new key serves the foreign key, too, so that
 * an import keeps no more keys than before.
 */
export async function up(knex: Knex): Promise<void> {
  await alterTable(
    knex,
    'business_sessions',
    { adds: 'business_sessions_vendor_entity_id_created_at_index' },
    `ADD KEY business_sessions_vendor_entity_id_created_at_index (vendor_entity_id, created_at),
       DROP KEY business_sessions_vendor_entity_id_foreign`,
  );
}

export async function down(knex: Knex): Promise<void> {
  await alterTable(
    knex,
    'business_sessions',
    { drops: 'business_sessions_vendor_entity_id_created_at_index' },
    `ADD KEY business_sessions_vendor_entity_id_foreign (vendor_entity_id),
       DROP KEY business_sessions_vendor_entity_id_created_at_index`,
  );
}
