#!/usr/bin/env node
import { statSync } from 'node:fs';
import { Command } from '@commander-js/extra-typings';
import { apiKeyCommand, applicationCommand, workflowCommand } from './cli/accounts';
import { migrateCommand } from './cli/migrate';
import { seedCommand } from './cli/seed';
import { serveCommand } from './cli/serve';
import { shareTokenCommand, signingKeyCommand } from './cli/share-tokens';
import { databaseFailure, isOutOfReach } from './db/errors';
import { errorCode } from './model/problems';
import { version } from './version';

/** In development, what is not set in the environment may stand in a file. */
if (process.env['NODE_ENV'] !== 'production' && isFile('.env')) process.loadEnvFile('.env');

const program = new Command('session-import')
  .version(version)
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

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

/** What went wrong, for a person. The stack is for those who debug. */
function explain(error: unknown): string {
  if (!(error instanceof Error)) return 'something went wrong';
  if (process.env['DEBUG']) return error.stack ?? error.message;
  if (isOutOfReach(databaseFailure(error))) {
    return `the database of DATABASE_URL can not be reached (${errorCode(error) ?? error.name})`;
  }
  if (errorCode(error) === 'ER_NO_SUCH_TABLE') {
    return 'the database is not up to date: run "session-import migrate"';
  }
  return 'sqlMessage' in error ? String(error.sqlMessage) : error.message;
}
