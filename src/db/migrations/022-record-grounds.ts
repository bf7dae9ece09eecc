import type { Knex } from 'knex';
import { alterTable } from './changes';

/**
 * Why sharing was lawful, according to the application that shares: kept with each share token, import and
 * refusal. An older service leaves it out.
 *
 * An index for the applications that sessions are shared with: they list their share tokens, the live ones first.
 */
export async function up(knex: Knex): Promise<void> {
  for (const [table, key] of additions) {
    const columns = Object.entries(grounds).map(([name, type]) => `ADD COLUMN ${name} ${type}`);
    const changes = [...columns, ...(key ? [`ADD KEY ${received} (${key})`] : [])];
    await alterTable(knex, table, { adds: 'grounds_kind' }, changes.join(', '));
  }
}

export async function down(knex: Knex): Promise<void> {
  for (const [table, key] of additions.toReversed()) {
    const columns = Object.keys(grounds).map((name) => `DROP COLUMN ${name}`);
    const changes = [...(key ? [`DROP KEY ${received}`] : []), ...columns];
    await alterTable(knex, table, { drops: 'grounds_kind' }, changes.join(', '));
  }
}

const received = 'share_tokens_for_application_id_expires_at_index';

/** The tables, and the columns of the key that one of them gets. */
const additions = [
  ['share_tokens', 'for_application_id, expires_at'],
  ['session_imports', undefined],
  ['import_refusals', undefined],
] as const;

const grounds = {
  grounds_kind: `ENUM('consent', 'contract', 'legal_obligation', 'vital_interests', 'public_task',
    'legitimate_interests', 'other')`,
  grounds_purpose: 'VARCHAR(64)',
  grounds_reference: 'VARCHAR(128)',
  grounds_obtained_at: 'DATETIME(6)',
  grounds_evidence: 'BINARY(32)',
};
