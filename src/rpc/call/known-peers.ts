import { LRUCache } from 'lru-cache';

/** More than the default number of connections. A peer that was dropped is known again after its next call. */
const most = 10_000;

/**
 * The known peers: each is a connection's other end, and has made a call with valid credentials on it. All others are
 * strangers. Strangers are cut off if all connections together cost too much, known peers only if they alone cost
 * more than their share (see `excessOf`). So whoever has no credentials can't have a known peer with calls cut off.
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
