import { pino, type DestinationStream, type Logger } from 'pino';
import { databaseErrorCode, isDatabaseError } from '../db/errors';

export type { Logger };

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** Makes the service's logger: one JSON object per line, on standard output unless told otherwise. */
export function createLogger(level: LogLevel, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: null,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: describeError },
  };
  return destination ? pino(options, destination) : pino(options);
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
 * Describes an error without repeating what it was about. The messages of the database driver quote
 * values that were to be stored (people's names among them), so only their code is kept, and the stack
 * without its first lines.
 */
export function describeError(error: unknown): ErrorDescription {
  if (!(error instanceof Error)) return { type: typeof error, stack: '' };
  const code = databaseErrorCode(error);
  return {
    type: error.name,
    ...(code === undefined ? {} : { code }),
    ...(isDatabaseError(error) ? {} : { message: error.message }),
    stack: stackFrames(error),
    ...(error.cause === undefined ? {} : { cause: describeError(error.cause) }),
  };
}

/** Where the error was made: the stack without the message on top of it. */
function stackFrames(error: Error): string {
  const lines = error.stack?.split('\n') ?? [];
  return lines.filter((line) => /^\s+at /.test(line)).join('\n');
}
