import { readFileSync } from 'node:fs';
import { credentials } from '@grpc/grpc-js';
import type { CertificateAuthority, Identity } from './certificates';
import { TestClient } from './client';

/** The names in the certificate of a service of the tests. */
export const serverNames = [
  { type: 'dns', value: 'localhost' },
  { type: 'ip', value: '127.0.0.1' },
] as const;

/** A client that trusts what an authority has issued, and shows a certificate if it has one. */
export function tlsClient(
  port: number,
  authority: CertificateAuthority,
  identity?: Identity,
): TestClient {
  const channel = credentials.createSsl(
    readFileSync(authority.file),
    identity ? readFileSync(identity.privateKey) : null,
    identity ? readFileSync(identity.certificate) : null,
  );
  return new TestClient(port, channel, {
    'grpc.ssl_target_name_override': 'localhost',
    // Connections of their own: each client is to make a handshake.
    'grpc.use_local_subchannel_pool': 1,
  });
}
