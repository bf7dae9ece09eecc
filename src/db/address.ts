import { isDeepStrictEqual } from 'node:util';
import { LastGood } from '../files/last-good';
import type { Logger } from '../telemetry/log';
import { tlsOptions, type DatabaseTls, type SslOptions } from './tls';

/** Where the database is, and how connections to it are encrypted. */
export interface DatabaseAddress {
  /** `mysql://user:password@host:port/database`. */
  readonly url: string;
  /** Undefined: connections are not encrypted. */
  readonly tls?: DatabaseTls;
}

/** The driver's options for an address. They contain the contents of the files that the address names. */
export interface Target {
  readonly uri: string;
  readonly ssl?: SslOptions;
}

/** How often the files are read, in milliseconds; they are also read before each new connection. */
const interval = 1_000;

/**
 * Makes the driver's options for an address.
 *
 * @throws Error if the file of CAs can't be used.
 */
export function targetOf({ url, tls }: DatabaseAddress): Target {
  const ssl = tls && tlsOptions(tls);
  return { uri: url, ...(ssl ? { ssl } : {}) };
}

/**
 * Keeps the target up to date: the password and the CAs may change while the service runs.
 *
 * @param read the address as it is now.
 * @param changed is called when it has changed.
 * @throws Error if the first reading fails.
 */
export function followTarget(
  read: () => DatabaseAddress,
  changed: () => void,
  log: Logger,
): LastGood<Target> {
  return new LastGood(
    targetOf(read()),
    {
      load: async (current) => {
        const found = await Promise.resolve(targetOf(read()));
        return isDeepStrictEqual(found, current) ? current : found;
      },
      interval,
      loaded: (_target, isNew) => {
        if (!isNew) return;
        log.info('the address of the database has changed');
        changed();
      },
      complaint: 'could not read the address of the database; the old one stays in use',
    },
    log,
  );
}
