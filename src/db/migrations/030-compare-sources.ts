import type { Knex } from 'knex';
import { alterTable } from './changes';

/**
 * The ledger keeps which version of a source an application has, or was told of: the source's `updated_at`. So a sweep
 * finds a change whenever it was committed. Null: an import from before, or of an older service.
 *
 * A sweep has a time for its next step, so that many processes do not take more steps than one.
 */
export async function up(knex: Knex): Promise<void> {
  await alterTable(
    knex,
    'session_imports',
    { adds: 'source_updated_at' },
    'ADD COLUMN source_updated_at DATETIME(6) NULL',
  );
  await alterTable(
    knex,
    'source_sweeps',
    { adds: 'next_at' },
    'ADD COLUMN next_at DATETIME(6) NULL',
  );
}

export async function down(knex: Knex): Promise<void> {
  await alterTable(knex, 'source_sweeps', { drops: 'next_at' }, 'DROP COLUMN next_at');
  await alterTable(
    knex,
    'session_imports',
    { drops: 'source_updated_at' },
    'DROP COLUMN source_updated_at',
  );
}
