import type { Knex } from 'knex';
import { alterTable, createTable } from './changes';
import { moment, uuid } from './columns';

const sides = ['source', 'recipient', 'operator'];

/**
 * Connections: two applications agree that one of them may share sessions with the other. The rows are kept when the
 * connections have ended, and the terms of a row never change. There are no foreign keys: a proposal must
 * not show whether the application that it names exists.
 *
 * `open` is 1 while a proposal can be accepted, and `active` is 1 while a connection holds; otherwise they are
 * null, so that the unique keys allow any number of ended rows (MySQL 8.4 manual, section 15.1.15).
 *
 * Imports and refusals name the connection that they were judged by. An older service leaves it out.
 */
export async function up(knex: Knex): Promise<void> {
  await createTable(knex, 'session_connections', (table) => {
    uuid(table, 'id').primary();
    uuid(table, 'source_application_id').notNullable();
    uuid(table, 'recipient_application_id').notNullable();
    table.boolean('open');
    table.boolean('active');
    table.boolean('user_sessions').notNullable();
    table.boolean('business_sessions').notNullable();
    table.boolean('linked_sessions').notNullable();
    table.boolean('trust_review').notNullable();
    table.integer('longest_ttl').unsigned();
    table.json('relations');
    table.boolean('grounds_required').notNullable();
    table.string('agreement', 128);
    moment(table, 'certified_until');
    table.enu('proposed_by', sides).notNullable();
    uuid(table, 'proposed_by_api_key_id');
    table.string('proposed_by_gateway', 255);
    moment(table, 'created_at').notNullable();
    moment(table, 'expires_at');
    uuid(table, 'accepted_by_api_key_id');
    table.string('accepted_by_gateway', 255);
    moment(table, 'accepted_at');
    table.enu('ended_by', sides);
    uuid(table, 'ended_by_api_key_id');
    table.string('ended_by_gateway', 255);
    moment(table, 'ended_at');
    uuid(table, 'replaced_by');
    moment(table, 'used_at');
    table.unique(['source_application_id', 'recipient_application_id', 'active'], {
      indexName: 'session_connections_active_unique',
    });
    table.unique(['source_application_id', 'recipient_application_id', 'proposed_by', 'open'], {
      indexName: 'session_connections_open_unique',
    });
    // For the lists of either side, and for the number of open proposals.
    table.index(['source_application_id', 'id'], 'session_connections_source_index');
    table.index(['recipient_application_id', 'id'], 'session_connections_recipient_index');
    table.index(
      ['source_application_id', 'proposed_by', 'open'],
      'session_connections_source_open_index',
    );
    table.index(
      ['recipient_application_id', 'proposed_by', 'open'],
      'session_connections_recipient_open_index',
    );
  });
  for (const table of recorded) {
    await alterTable(
      knex,
      table,
      { adds: 'connection_id' },
      'ADD COLUMN connection_id BINARY(16) NULL',
    );
  }
}

export async function down(knex: Knex): Promise<void> {
  for (const table of recorded) {
    await alterTable(knex, table, { drops: 'connection_id' }, 'DROP COLUMN connection_id');
  }
  await knex.schema.dropTableIfExists('session_connections');
}

const recorded = ['session_imports', 'import_refusals'];
