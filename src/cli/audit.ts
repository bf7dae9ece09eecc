import { Command } from '@commander-js/extra-typings';
import type { ApplicationId } from '../model/ids';
import { requireApplication } from '../store/accounts';
import { idArgument, momentArgument } from './arguments';
import { auditLines } from './audit-lines';
import { withMultiDatabase } from './database';
import { printPart } from './output';

/**
 * How long ago the period of an export must have ended, in milliseconds. An import is listed under the time when it
 * began, but only after it has ended: with the longest lock waits that can be configured, that is some minutes later.
 */
const settled = 600_000;

const explanation = `
The output is JSON Lines. The first line says what is exported. Then come the imports and refusals of the application,
and then the imports that others have made of its sessions, each from the newest to the oldest. The last line has the
number of lines of each kind, and the SHA-256 of all bytes before it. Without it, the export is not complete.

The output has only what the application itself may know, and nothing about a verified person or company. The same
command prints the same bytes again, unless an operator has deleted refusals of that time.`;

/** `audit export` */
export function auditCommand() {
  return new Command('audit').description('records for auditors').addCommand(
    new Command('export')
      .description('print all imports and refusals of an application, as JSON Lines')
      .requiredOption('--application <id>', 'the application', idArgument<ApplicationId>)
      .requiredOption('--from <time>', 'when the period begins', momentArgument)
      .requiredOption(
        '--to <time>',
        'when the period ends (not included), at least ten minutes ago',
        momentArgument,
      )
      .addHelpText('after', explanation)
      .action(async ({ application, from: since, to: until }) => {
        if (since >= until) throw new Error('--to must be after --from');
        if (until.getTime() > Date.now() - settled) {
          throw new Error(
            '--to must be at least ten minutes ago: newer imports may not be on record yet',
          );
        }
        await withMultiDatabase(async (db) => {
          await requireApplication(db, application);
          for await (const lines of auditLines(db, application, { since, until })) {
            await printPart(lines);
          }
        });
      }),
  );
}
