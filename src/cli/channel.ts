import { credentials, type ChannelCredentials } from '@grpc/grpc-js';
import { readCertificatesSync } from '../files/pem';
import { readRegularFileSync } from '../files/regular-file';

/** The options of commands that call a service: how they connect. */
export interface ChannelOptions {
  readonly plaintext?: true | undefined;
  /** The CAs of the service; undefined: the well-known ones. */
  readonly cacert?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/**
 * Without files: TLS with the well-known CAs. With a certificate and its key: mutual TLS.
 *
 * @throws Error if options contradict each other, or a file can't be used. The message does not quote the file.
 */
export function credentialsOf({
  plaintext,
  cacert,
  cert,
  key,
}: ChannelOptions): ChannelCredentials {
  if (plaintext) {
    if (cacert === undefined && cert === undefined && key === undefined) {
      return credentials.createInsecure();
    }
    throw new Error('--plaintext is without TLS: leave out --cacert, --cert and --key');
  }
  if ((cert === undefined) !== (key === undefined)) {
    throw new Error('--cert and --key belong together: give both, or neither');
  }
  const certificates = (file?: string) =>
    file === undefined ? null : readCertificatesSync(file, file);
  const privateKey = key === undefined ? null : readRegularFileSync(key);
  return credentials.createSsl(certificates(cacert), privateKey, certificates(cert));
}
