import { LRUCache } from 'lru-cache';

/** More than there are connections. If a peer is forgotten, its next call makes it known again. */
const most = 10_000;

/**
 * The peers, each a connection's other end, that have made a call with valid credentials on it. If all connections
 * together cost too much, the others are cut off first: whoever has no API key can't take anything away from those who
 * have one.
 */
export class KnownPeers {
  private readonly peers = new LRUCache<string, true>({ max: most });

  /** @param peer its address and port, as gRPC names it. */
  add(peer: string): void {
    this.peers.set(peer, true);
  }

  has(peer: string): boolean {
    return this.peers.has(peer);
  }

  /** A new connection has come from that port: it may be somebody else's. */
  forget(peer: string): void {
    this.peers.delete(peer);
  }
}
