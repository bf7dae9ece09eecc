import ipaddr from 'ipaddr.js';

/**
 * What counts as one peer: an IPv4 address, or the /64 of an IPv6 address. One customer has at least all addresses of
 * a /64 (RFC 6177, section 2). An IPv4 address that a translator has put into an IPv6 address counts as the IPv4
 * address: otherwise all IPv4 clients would be in one /64 (RFC 6052, section 2.1).
 *
 * @param address as a socket tells it; an IPv4 address may be in its IPv6 form.
 */
export function networkOf(address: string): string {
  const parsed = ipaddr.process(address);
  if (parsed.kind() === 'ipv4') return parsed.toString();
  if (parsed.range() === 'rfc6052') return parsed.toByteArray().slice(-4).join('.');
  return `${Buffer.from(parsed.toByteArray().slice(0, 8)).toString('hex')}/64`;
}
