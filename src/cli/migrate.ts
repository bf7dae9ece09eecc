import { Command } from '@commander-js/extra-typings';
import { migrateDown, migrateUp } from '../db/migrate';
import { printFields } from './output';
import { withDatabase } from './database';

/** `migrate`: brings the database's schema up to date, or rolls back the newest migration. */
export function migrateCommand() {
  return new Command('migrate')
    .description('bring the schema of the database up to date')
    .option('--rollback', 'roll back the newest migration; this can delete data')
    .option('--json', 'print JSON')
    .action(async ({ rollback, json }) => {
      const [batch, names] = await withDatabase(rollback ? migrateDown : migrateUp);
      const done = rollback ? 'taken_back' : 'migrated';
      await printFields({ batch, [done]: names }, { json });
    });
}
