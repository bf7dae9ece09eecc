import type { Knex } from 'knex';
import { alterTable, createTable } from './changes';
import { moment, sessionKinds, uuid } from './columns';

const sessions = ['user_sessions', 'business_sessions'];
const bySource = 'session_imports_source_session_id_index';

/**
 * Sessions can be withdrawn: whoever has imported them is told, and so is whoever has imported these copies. A mark in
 * a session's own row stops imports at once.
 *
 * `session_withdrawals` has a row for the withdrawn session, and one for each copy down the chain, with the answer of
 * the application that has it. The copies of a session are found by a new index of the ledger.
 */
export async function up(knex: Knex): Promise<void> {
  for (const table of sessions) {
    await alterTable(
      knex,
      table,
      { adds: 'withdrawn_at' },
      'ADD COLUMN withdrawn_at DATETIME(6) NULL',
    );
  }
  await alterTable(
    knex,
    'session_imports',
    { adds: bySource },
    `ADD INDEX ${bySource} (source_session_id)`,
  );
  await createTable(knex, 'session_withdrawals', (table) => {
    uuid(table, 'withdrawal_id').notNullable();
    uuid(table, 'session_id').notNullable();
    uuid(table, 'application_id').notNullable();
    table.enu('session_kind', sessionKinds).notNullable();
    table
      .enu('reason', ['consent_withdrawn', 'rectified', 'reliance_ended', 'erased'])
      .notNullable();
    moment(table, 'withdrawn_at').notNullable();
    // The session that this one is a copy of; null: it was withdrawn itself.
    uuid(table, 'parent_session_id');
    uuid(table, 'parent_application_id');
    // When its application was told; null: that waits.
    moment(table, 'told_at');
    table.enu('outcome', ['erased', 'kept', 'under_review']);
    moment(table, 'kept_until');
    moment(table, 'answered_at');
    // Who has withdrawn it, or has answered; both are null: not a call.
    uuid(table, 'api_key_id');
    table.string('gateway', 255);
    table.primary(['withdrawal_id', 'session_id']);
    table.index(['told_at', 'parent_application_id'], 'session_withdrawals_waiting_index');
    table.index(['session_id', 'withdrawal_id'], 'session_withdrawals_session_index');
    table.index(['application_id', 'withdrawal_id'], 'session_withdrawals_recipient_index');
    // A source's list goes on behind such a place, which does not name the copy.
    table.index(
      ['parent_application_id', 'withdrawal_id', 'parent_session_id', 'application_id'],
      'session_withdrawals_source_index',
    );
  });
}

export async function down(knex: Knex): Promise<void> {
  await knex.schema.dropTableIfExists('session_withdrawals');
  await alterTable(knex, 'session_imports', { drops: bySource }, `DROP INDEX ${bySource}`);
  for (const table of sessions) {
    await alterTable(knex, table, { drops: 'withdrawn_at' }, 'DROP COLUMN withdrawn_at');
  }
}
