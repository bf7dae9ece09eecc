import { Command } from '@commander-js/extra-typings';
import type { ApplicationId } from '../model/ids';
import { requireApplication } from '../store/accounts';
import { idArgument, momentArgument } from './arguments';
import { auditLines } from './audit-lines';
import { withMultiDatabase } from './database';
import { printPart } from './output';

/**
 * How long ago the end of an export must be, in milliseconds. An import is listed under the time when it began, and
 * only once it is done.
 */
const settled = 60_000;

const explanation = `
The output is JSON Lines: what is exported, then the imports and refusals of the application, then what others have
imported of its sessions, each from the newest to the oldest; and at the end how many lines that are, and the SHA-256
of all bytes before it. Without that last line, the export is not complete.

It shows what the application may know itself, and nothing about a verified person or company. The same command prints
the same bytes again, as long as no operator has deleted refusals of that time.`;

/** `audit export` */
export function auditCommand() {
  return new Command('audit').description('records for auditors').addCommand(
    new Command('export')
      .description('print all imports and refusals of an application, as JSON Lines')
      .requiredOption('--application <id>', 'the application', idArgument<ApplicationId>)
      .requiredOption('--from <time>', 'the first moment', momentArgument)
      .requiredOption(
        '--to <time>',
        'the moment before which it ends, at least a minute ago',
        momentArgument,
      )
      .addHelpText('after', explanation)
      .action(async ({ application, from: since, to: until }) => {
        if (since >= until) throw new Error('--to must be after --from');
        if (until.getTime() > Date.now() - settled) {
          throw new Error(
            '--to must be at least a minute ago: until then, an import of that time may not be on record yet',
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
