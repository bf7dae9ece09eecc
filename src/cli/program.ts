import { Command } from '@commander-js/extra-typings';
import { databaseFailure, isOutOfReach, NotConnected, UnfitServer } from '../db/errors';
import { errorCode } from '../model/problems';
import { version } from '../version';
import { apiKeyCommand, applicationCommand, workflowCommand } from './accounts';
import { auditCommand } from './audit';
import { connectionCommand } from './connections';
import { importFileCommand } from './import-file';
import { migrateCommand } from './migrate';
import { CommandFailure } from './output';
import { pruneCommand } from './prune';
import { relayCommand } from './relay';
import { seedCommand } from './seed';
import { serveCommand } from './serve';
import { sessionCommand } from './sessions';
import { shareTokenCommand, signingKeyCommand } from './share-tokens';

/** The program, with all its commands. */
export function createProgram() {
  return new Command('session-import')
    .version(version)
    .description('Session Import: clones a shared verification session into another application.')
    .addCommand(serveCommand())
    .addCommand(migrateCommand())
    .addCommand(seedCommand())
    .addCommand(applicationCommand())
    .addCommand(workflowCommand())
    .addCommand(apiKeyCommand())
    .addCommand(signingKeyCommand())
    .addCommand(shareTokenCommand())
    .addCommand(connectionCommand())
    .addCommand(importFileCommand())
    .addCommand(relayCommand())
    .addCommand(auditCommand())
    .addCommand(sessionCommand())
    .addCommand(pruneCommand());
}

/**
 * Runs a command of the program.
 *
 * @param args the arguments after the program's name.
 * @returns the exit code: 0; that of a {@link CommandFailure}; or 1 for any other error. Errors are printed on
 * standard error. If the arguments are wrong or only help is wanted, the process ends here.
 */
export async function runCommand(args: readonly string[]): Promise<number> {
  try {
    await createProgram().parseAsync(args, { from: 'user' });
    return 0;
  } catch (error) {
    process.stderr.write(`session-import: ${explain(error)}\n`);
    return error instanceof CommandFailure ? error.exitCode : 1;
  }
}

/** The error message for people. The stack is only for debugging. */
function explain(error: unknown): string {
  if (!(error instanceof Error)) return 'something went wrong';
  if (process.env['DEBUG']) return error.stack ?? error.message;
  if (error instanceof UnfitServer) return error.message;
  if (isOutOfReach(databaseFailure(error))) {
    const outOfReach = 'the database of DATABASE_URL can not be reached';
    const code = errorCode(error) ?? error.name;
    if (!(error instanceof NotConnected)) return `${outOfReach} (${code})`;
    return `${error.hint ?? outOfReach} (${code}): ${error.message}`;
  }
  if (errorCode(error) === 'ER_NO_SUCH_TABLE') {
    return 'the database is not up to date: run "session-import migrate"';
  }
  return 'sqlMessage' in error ? String(error.sqlMessage) : error.message;
}
