import { Command } from '@commander-js/extra-typings';
import { wholeNumberArgument } from './arguments';

const explanation = `
The file is CSV (its name ends in .csv or .CSV, and its first line names the columns) or JSON Lines, with these fields:
  share_token   the share token of the session; required
  workflow_id   the workflow to file it under; required
  vendor_data   your own name for the person or company
  trust_review  true or false (the default)

Environment:
  API_KEY
      The API key of the importing application

The results are JSON Lines: line, request_id, outcome (imported, refused, failed or malformed), session_id, or reason
and message. Run the command again to go on where it has stopped: what the results call imported is not called again,
and everything else is. A line that is imported once is never imported twice, whatever happens in between.

Exit code: 0 if every line is imported, 2 if some are not, 1 if the run could not go on.`;

/** `import-file`: imports the sessions that a file has share tokens of, through a running service. */
export function importFileCommand() {
  return new Command('import-file')
    .description('import the sessions of a file, through a running service')
    .argument('<file>', 'CSV or JSON Lines')
    .requiredOption('--address <host:port>', 'where the service is')
    .option('--results <file>', 'where to write what came of each line (default: <file>.results)')
    .option(
      '--concurrency <number>',
      'how many lines are imported at the same time',
      wholeNumberArgument(1, 1_000),
      32,
    )
    .option(
      '--patience <seconds>',
      'how long to repeat a line while the service is unavailable, overloaded or limits the rate',
      wholeNumberArgument(0, 86_400),
      600,
    )
    .option('--plaintext', 'no TLS')
    .option('--cacert <file>', 'the CAs of the service (default: the well-known ones)')
    .option('--cert <file>', 'a certificate of your own')
    .option('--key <file>', 'its private key')
    .option('--json', 'print JSON')
    .addHelpText('after', explanation)
    .action(async (file, { results = `${file}.results`, patience, ...options }) => {
      // Loaded only here, since no other command calls a service.
      const { importFile } = await import('./import-file/import-file.js');
      await importFile(file, { ...options, results, patience: patience * 1_000 });
    });
}
