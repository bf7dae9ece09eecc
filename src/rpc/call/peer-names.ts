import type { PeerCertificate } from 'node:tls';

/**
 * One entry of a subject alternative name as Node.js prints it: a name that holds anything special is
 * a JSON string, so that it can't pass for several.
 */
const entry = /([A-Za-z][A-Za-z ]*):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/gy;

/**
 * The names of a verified certificate (RFC 5280, section 4.2.1.6) that can stand for a service, as
 * `URI:…` or `DNS:…`. Names that Node.js has to quote are left out: no service is called so.
 */
export function peerNames(certificate: PeerCertificate | undefined): readonly string[] {
  // The certificate was valid at the TLS handshake, or at the earlier one that a TLS ticket stands
  // for. It may have expired since.
  if (!certificate || Date.parse(certificate.valid_to) <= Date.now()) return [];
  const names: string[] = [];
  for (const [, type, name = ''] of certificate.subjectaltname?.matchAll(entry) ?? []) {
    if (name === '' || name.startsWith('"')) continue;
    if (type === 'URI') names.push(`URI:${name}`);
    // Host names are compared without regard to case (RFC 4343).
    else if (type === 'DNS') names.push(`DNS:${name.toLowerCase()}`);
  }
  return names;
}
