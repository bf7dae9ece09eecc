import { readCertificatesSync } from '../files/pem';

/** How much of MySQL's certificate is checked; `off`: the connection is plain text. */
export const databaseTlsModes = ['off', 'verify-ca', 'verify-full'] as const;

/** How connections to MySQL are encrypted. */
export interface DatabaseTls {
  readonly mode: (typeof databaseTlsModes)[number];
  /** The PEM file with the CAs that count; undefined: those that come with Node.js. */
  readonly caFile: string | undefined;
}

/** The driver's options of TLS. */
export interface SslOptions {
  readonly ca?: string;
  readonly rejectUnauthorized: boolean;
  readonly verifyIdentity: boolean;
}

/**
 * Makes the driver's TLS options.
 *
 * @throws Error if the file of CAs can't be read, or holds none: Node.js would then trust all it knows.
 */
export function tlsOptions({ mode, caFile }: DatabaseTls): SslOptions | undefined {
  if (mode === 'off') return undefined;
  return {
    ...(caFile === undefined
      ? {}
      : { ca: readCertificatesSync(caFile, "DATABASE_TLS_CA can't be used").toString() }),
    rejectUnauthorized: true,
    // mysql2 checks the host name only if this is set.
    verifyIdentity: mode === 'verify-full',
  };
}
