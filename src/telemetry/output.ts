import { logVerbosity, setLogger, setLogVerbosity } from '@grpc/grpc-js';
import { errorCode } from '../model/problems';
import type { Logger } from './log';
import { LogThrottle } from './log-throttle';

/**
 * Lets nobody but the log write to standard output and standard error, for the rest of the process.
 *
 * Libraries print what they were given. For example, grpc-js prints the value of a metadata entry that it
 * can't use, such as an API key with a character too many. So the log only says which library has
 * complained, at most once a minute, and nothing of the text.
 */
export function takeOverOutput(log: Logger): void {
  const complaint = (library: string): (() => void) => {
    const throttle = new LogThrottle();
    return () => {
      if (throttle.allows()) log.warn({ library }, 'a library has complained');
    };
  };
  const ignore = (): void => undefined;

  // Whatever GRPC_VERBOSITY and GRPC_TRACE say.
  setLogger({ error: complaint('@grpc/grpc-js'), info: ignore, debug: ignore });
  setLogVerbosity(logVerbosity.ERROR);

  const printed = complaint('console');
  for (const method of ['error', 'warn', 'info', 'log', 'debug', 'trace'] as const) {
    console[method] = printed;
  }

  // Instead of Node.js's own listener, which prints the warnings.
  process.removeAllListeners('warning');
  process.on('warning', (warning) => {
    log.warn({ type: warning.name, code: errorCode(warning) }, 'Node.js has a warning');
  });

  process.on('uncaughtException', (err) => {
    log.fatal({ err }, 'the service has failed, and ends');
    process.exit(1);
  });
}
