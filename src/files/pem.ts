import { X509Certificate } from 'node:crypto';
import { readRegularFileSync } from './regular-file';

/**
 * Every certificate of a PEM file (RFC 7468, section 5), in order. Node.js itself skips those that
 * it can't read, and accepts a file that has none.
 *
 * @throws Error if there is none, or any can't be read. It does not quote the file, which may be a key.
 */
export function certificatesIn(pem: string): [X509Certificate, ...X509Certificate[]] {
  const blocks = pem
    .split(/(?=-----BEGIN )/)
    .filter((block) => block.startsWith('-----BEGIN CERTIFICATE'));
  try {
    const [first, ...others] = blocks.map((block) => new X509Certificate(block));
    if (first) return [first, ...others];
  } catch {
    // As with none.
  }
  throw new Error('it is not a list of certificates in PEM');
}

/**
 * Reads a PEM file that must have certificates: see {@link certificatesIn}.
 *
 * @param blamed what the error begins with.
 * @throws Error if it is no file, can't be read, or has none. The message does not quote the file.
 */
export function readCertificatesSync(file: string, blamed: string): Buffer {
  const pem = readRegularFileSync(file);
  try {
    certificatesIn(pem.toString());
  } catch (error) {
    throw new Error(`${blamed}: ${(error as Error).message}`, { cause: error });
  }
  return pem;
}
