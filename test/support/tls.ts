import { readFileSync } from 'node:fs';
import { credentials, ServerCredentials } from '@grpc/grpc-js';
import type { CertificateAuthority, Identity } from './certificates';
import { TestClient } from './client';

/** The names in the certificate of a service of the tests. */
export const serverNames = [
  { type: 'dns', value: 'localhost' },
  { type: 'ip', value: '127.0.0.1' },
] as const;

/** The credentials of a server of the tests, with a certificate that an authority issues for it. */
export async function tlsServer(authority: CertificateAuthority): Promise<ServerCredentials> {
  const { certificate, privateKey } = await authority.issue('server', [...serverNames]);
  return ServerCredentials.createSsl(null, [
    { cert_chain: readFileSync(certificate), private_key: readFileSync(privateKey) },
  ]);
}

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
