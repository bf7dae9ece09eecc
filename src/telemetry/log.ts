import { Writable } from 'node:stream';
import { pino, type DestinationStream, type Logger } from 'pino';
import pretty from 'pino-pretty';
import { errorCode } from '../model/problems';
import { Lines } from './lines';

export type { Logger };

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** `auto`: pretty on a terminal, JSON elsewhere. */
export const logFormats = ['auto', 'json', 'pretty'] as const;

/** How much to log, and how. */
export interface LogOptions {
  readonly level: LogLevel;
  readonly format: (typeof logFormats)[number];
}

/**
 * Makes the service's logger: one JSON object per line, or lines for people.
 *
 * @param destination where the lines go, if not to standard output.
 */
export function createLogger(
  { level, format }: LogOptions,
  destination: DestinationStream = new Lines(1),
): Logger {
  const options = {
    level,
    base: null,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: describeError },
  };
  const forPeople = format === 'pretty' || (format === 'auto' && process.stdout.isTTY);
  return pino(
    options,
    forPeople
      ? pretty({ destination: streamTo(destination), colorize: process.stdout.isTTY })
      : destination,
  );
}

function streamTo(destination: DestinationStream): Writable {
  return new Writable({
    decodeStrings: false,
    write(lines: string, _encoding, done) {
      destination.write(lines);
      done();
    },
  });
}

/** What a log line says of an error. */
interface ErrorDescription {
  readonly type: string;
  readonly code?: string;
  readonly message?: string;
  readonly stack: string;
  readonly cause?: ErrorDescription;
}

/**
 * Describes an error without personal data. The messages of libraries quote their input, and that
 * can be people's names. So the message is left out if the error has a code, or if it has a
 * property that marks it as an error of the database driver.
 */
export function describeError(error: unknown): ErrorDescription {
  if (!(error instanceof Error)) return { type: typeof error, stack: '' };
  const code = errorCode(error);
  const quotes = code !== undefined || ['sql', 'sqlState', 'fatal'].some((name) => name in error);
  return {
    type: error.name,
    ...(code === undefined ? {} : { code }),
    ...(quotes ? {} : { message: error.message }),
    stack: stackFrames(error),
    ...(error.cause === undefined ? {} : { cause: describeError(error.cause) }),
  };
}

/** Where the error was made: the stack without the message on top of it. */
function stackFrames(error: Error): string {
  const lines = error.stack?.split('\n') ?? [];
  return lines.filter((line) => /^\s+at /.test(line)).join('\n');
}
