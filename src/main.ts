#!/usr/bin/env node
import { Command } from '@commander-js/extra-typings';
import { apiKeyCommand, applicationCommand, workflowCommand } from './cli/accounts';
import { migrateCommand } from './cli/migrate';
import { seedCommand } from './cli/seed';
import { serveCommand } from './cli/serve';
import { shareTokenCommand, signingKeyCommand } from './cli/share-tokens';
import { databaseErrorCode, databaseFailure } from './db/errors';

const program = new Command('session-import')
  .description('Session Import: clones a shared verification session into another application.')
  .addCommand(serveCommand())
  .addCommand(migrateCommand())
  .addCommand(seedCommand())
  .addCommand(applicationCommand())
  .addCommand(workflowCommand())
  .addCommand(apiKeyCommand())
  .addCommand(signingKeyCommand())
  .addCommand(shareTokenCommand());

program.parseAsync().catch((error: unknown) => {
  process.stderr.write(`session-import: ${explain(error)}\n`);
  process.exitCode = 1;
});

/** What went wrong, for a person. The stack is for those who debug. */
function explain(error: unknown): string {
  if (!(error instanceof Error)) return 'something went wrong';
  if (process.env['DEBUG']) return error.stack ?? error.message;
  if (databaseFailure(error) === 'unreachable') {
    return `the database can not be reached (${databaseErrorCode(error) ?? error.name})`;
  }
  return 'sqlMessage' in error ? String(error.sqlMessage) : error.message;
}
