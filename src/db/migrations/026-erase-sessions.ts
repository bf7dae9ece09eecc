import type { Knex } from 'knex';
import { alterTable, createTable } from './changes';
import { moment, sessionKinds, uuid } from './columns';

const sessions = ['user_sessions', 'business_sessions'];

/**
 * Sessions can be erased, and put on hold. A mark in a session's own row hides it at once. The job that prunes looks
 * for its work in two small tables, so that sessions need no further index, which every import would write.
 *
 * `session_erasures` has only ids, times and causes, and is kept: it proves that a session was erased, and when. Like
 * the ledger, neither table has foreign keys: a relation of a session would be copied.
 */
export async function up(knex: Knex): Promise<void> {
  for (const table of sessions) {
    await alterTable(knex, table, { adds: 'erased_at' }, 'ADD COLUMN erased_at DATETIME(6) NULL');
  }
  await createTable(knex, 'session_retention', (table) => {
    uuid(table, 'session_id').primary();
    table.enu('session_kind', sessionKinds).notNullable();
    moment(table, 'erase_after');
    // Null: nobody holds it.
    moment(table, 'held_since');
    moment(table, 'hold_until');
    table.string('hold_reference', 128);
    moment(table, 'set_at').notNullable();
    // Who has set it; both are null: an operator.
    uuid(table, 'api_key_id');
    table.string('gateway', 255);
    table.index('erase_after');
  });
  await createTable(knex, 'session_erasures', (table) => {
    uuid(table, 'session_id').primary();
    uuid(table, 'application_id').notNullable();
    table.enu('session_kind', sessionKinds).notNullable();
    moment(table, 'erased_at').notNullable();
    table.enu('cause', ['request', 'operator', 'retention', 'replay']).notNullable();
    // Who has asked for it; both are null: it was not asked for by a call.
    uuid(table, 'api_key_id');
    table.string('gateway', 255);
    // When its data were deleted; null: they wait for that.
    moment(table, 'pruned_at');
    table.index(['pruned_at', 'erased_at']);
  });
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.dropTableIfExists('session_erasures');
  await knex.schema.dropTableIfExists('session_retention');
  for (const table of sessions) {
    await alterTable(knex, table, { drops: 'erased_at' }, 'DROP COLUMN erased_at');
  }
}
