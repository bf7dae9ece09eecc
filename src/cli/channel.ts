import { credentials, type ChannelCredentials } from '@grpc/grpc-js';
import { readRegularFileSync } from '../files/regular-file';

/** The options of commands that call a service: how they connect. */
export interface ChannelOptions {
  readonly plaintext?: true | undefined;
  /** The CAs of the service; undefined: the well-known ones. */
  readonly cacert?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** Without files: TLS with the well-known CAs. With a certificate and its key: mutual TLS. */
export function credentialsOf({
  plaintext,
  cacert,
  cert,
  key,
}: ChannelOptions): ChannelCredentials {
  if (plaintext) return credentials.createInsecure();
  const read = (file?: string) => (file === undefined ? null : readRegularFileSync(file));
  return credentials.createSsl(read(cacert), read(key), read(cert));
}
