import ipaddr from 'ipaddr.js';

/**
 * What counts as one peer: an IPv4 address, or the /64 of an IPv6 address. One customer has at least all addresses of
 * a /64 (RFC 6177, section 2).
 *
 * @param address as a socket tells it; an IPv4 address may be in its IPv6 form.
 */
export function networkOf(address: string): string {
  const parsed = ipaddr.process(address);
  if (parsed.kind() === 'ipv4') return parsed.toString();
  return `${Buffer.from(parsed.toByteArray().slice(0, 8)).toString('hex')}/64`;
}
