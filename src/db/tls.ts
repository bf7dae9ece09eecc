import { readFileSync } from 'node:fs';

/** How much of MySQL's certificate is checked; `off`: the connection is plain text. */
export const databaseTlsModes = ['off', 'verify-ca', 'verify-full'] as const;

/** How connections to MySQL are encrypted. */
export interface DatabaseTls {
  readonly mode: (typeof databaseTlsModes)[number];
  /** The PEM file with the CAs that count; undefined: those that come with Node.js. */
  readonly caFile: string | undefined;
}

/** The driver's options of TLS. */
interface SslOptions {
  readonly ca?: string;
  readonly rejectUnauthorized: boolean;
  readonly verifyIdentity: boolean;
}

/**
 * What the driver is told of TLS.
 *
 * @throws Error if the file of CAs can't be read.
 */
export function tlsOptions({ mode, caFile }: DatabaseTls): SslOptions | undefined {
  if (mode === 'off') return undefined;
  return {
    ...(caFile === undefined ? {} : { ca: readFileSync(caFile, 'utf8') }),
    rejectUnauthorized: true,
    // The host name is not checked unless that is asked for.
    verifyIdentity: mode === 'verify-full',
  };
}
