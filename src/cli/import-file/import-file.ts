import { setMaxListeners } from 'node:events';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { credentialsOf, type ChannelOptions } from '../channel';
import { CommandFailure, printFields } from '../output';
import { openInput, readLines } from './lines';
import { Outage } from './outage';
import { showProgress, type Tally } from './progress';
import { Results } from './results';
import { runImports } from './run';
import { ImportingService } from './service';

/** The options of a run. */
export interface ImportFileOptions extends ChannelOptions {
  readonly address: string;
  /** The results file. */
  readonly results: string;
  readonly concurrency: number;
  /** How long to wait for a service that is away, in milliseconds. */
  readonly patience: number;
  readonly json?: true | undefined;
}

/**
 * Imports the sessions of a file, and prints the number of lines for each outcome.
 *
 * @throws CommandFailure with exit code 2 if lines are not imported.
 * @throws Error if the run could not go on, or was interrupted.
 */
export async function importFile(file: string, options: ImportFileOptions): Promise<void> {
  const apiKey = process.env['API_KEY'];
  // If gRPC can't send a key, it puts the key into its error message.
  if (!apiKey || !/^[\x21-\x7e]+$/.test(apiKey)) {
    throw new Error('API_KEY must be set to the API key of the importing application');
  }
  if (path.resolve(file) === path.resolve(options.results)) {
    throw new Error('--results must name another file than the one to import');
  }
  const stats = await stat(file);
  const service = new ImportingService(options.address, credentialsOf(options), apiKey);
  const results = await Results.open(options.results);
  // Opened last: nobody handles an error of this stream before its lines are read.
  const lines = openInput(file, stats);
  const stopping = new AbortController();
  // As many as there are lines under way.
  setMaxListeners(options.concurrency, stopping.signal);
  const stop = (): void => {
    stopping.abort(new Error('interrupted: run the command again to go on'));
    // If the input is a pipe, its next line may come hours later.
    lines.destroy();
  };
  // The second one ends the process at once.
  process.once('SIGINT', stop);
  const progress = showProgress(stats.size);
  const outage = new Outage((reason, why) => {
    progress.waiting(reason, why);
  });
  const repeating = { patience: options.patience, outage, signal: stopping.signal };
  try {
    const { tally, error } = await runImports({
      lines: readLines(lines, /\.csv$/i.test(file)),
      done: results.done,
      concurrency: options.concurrency,
      importLine: (number, wanted) => service.import(number, wanted, repeating),
      write: (result) => results.write(result),
      told: (now) => {
        progress.update(lines.bytesRead, now);
      },
      signal: stopping.signal,
    });
    progress.stop();
    await printFields(tally, options);
    if (stopping.signal.aborted) throw stopping.signal.reason as Error;
    if (error) throw error;
    requireAll(tally);
  } finally {
    progress.stop();
    process.off('SIGINT', stop);
    lines.destroy();
    service.close();
    await results.close();
  }
}

function requireAll({ refused, failed, malformed }: Tally): void {
  const missing = refused + failed + malformed;
  if (missing > 0) throw new CommandFailure(`lines that are not imported: ${missing}`, 2);
}
