import type { Knex } from 'knex';
import { alterTable, createTable } from './changes';
import { moment, uuid } from './columns';

const byExpiry = 'share_tokens_expiry_told_expires_at_index';

/**
 * The events of applications. What happens is recorded in `event_outbox`, by the transaction that it happens in. From
 * there, it is copied into the feeds of the applications, `session_events`, where it gets its number.
 *
 * A row of the outbox has all events of one transaction, and a row of a feed all that were numbered together: each
 * import pays for one short row, whoever is told.
 */
export async function up(knex: Knex): Promise<void> {
  await createTable(knex, 'event_outbox', (table) => {
    // The order in which rows were inserted, which is that of the locks: the clocks of processes differ.
    table.bigIncrements('position');
    uuid(table, 'id').notNullable();
    table.boolean('numbered').notNullable().defaultTo(false);
    // JSON; empty once they are numbered, since the service's database user may not delete.
    table.text('events', 'mediumtext').notNullable();
    table.unique(['id']);
    table.index('numbered');
  });
  await createTable(knex, 'session_events', (table) => {
    uuid(table, 'application_id').notNullable();
    // The numbers of a row's events are consecutive, and this is the last of them.
    table.bigInteger('last_sequence').notNullable();
    moment(table, 'created_at').notNullable();
    table.text('events', 'mediumtext').notNullable();
    table.primary(['application_id', 'last_sequence']);
  });
  await createTable(knex, 'event_rounds', (table) => {
    table.integer('id').primary();
    moment(table, 'next_at').notNullable();
  });
  // True by default: the expiry of tokens that were made before, or by an older release, is not told.
  await alterTable(
    knex,
    'share_tokens',
    { adds: 'expiry_told' },
    `ADD COLUMN expiry_told BOOLEAN NOT NULL DEFAULT TRUE, ADD INDEX ${byExpiry} (expiry_told, expires_at)`,
  );
}

export async function down(knex: Knex): Promise<void> {
  await alterTable(
    knex,
    'share_tokens',
    { drops: 'expiry_told' },
    `DROP INDEX ${byExpiry}, DROP COLUMN expiry_told`,
  );
  await knex.schema.dropTableIfExists('event_rounds');
  await knex.schema.dropTableIfExists('session_events');
  await knex.schema.dropTableIfExists('event_outbox');
}
