import { logVerbosity, setLogger, setLogVerbosity } from '@grpc/grpc-js';
import { errorCode } from '../model/problems';
import type { Logger } from './log';
import { LogThrottle } from './log-throttle';

/**
 * Lets nobody but the log write to standard output and standard error, for the rest of the process.
 *
 * Libraries print what they were given: grpc-js the value of a metadata entry that it can't use, an API
 * key with a character too many for example. So they are heard, and what they say is not repeated: the
 * log has that a library complained, which one, and at most once a minute.
 */
export function takeOverOutput(log: Logger): void {
  const complaint = (library: string): (() => void) => {
    const throttle = new LogThrottle();
    return () => {
      if (throttle.allows()) log.warn({ library }, 'a library has complained');
    };
  };
  const ignore = (): void => undefined;

  // Also what GRPC_VERBOSITY and GRPC_TRACE ask for, when somebody has left them set.
  setLogger({ error: complaint('@grpc/grpc-js'), info: ignore, debug: ignore });
  setLogVerbosity(logVerbosity.ERROR);

  const printed = complaint('console');
  for (const method of ['error', 'warn', 'info', 'log', 'debug', 'trace'] as const) {
    console[method] = printed;
  }

  // In the place of Node.js' own listener, which prints them.
  process.removeAllListeners('warning');
  process.on('warning', (warning) => {
    log.warn({ type: warning.name, code: errorCode(warning) }, 'Node.js has a warning');
  });

  process.on('uncaughtException', (err) => {
    log.fatal({ err }, 'the service has failed, and ends');
    process.exit(1);
  });
}
