/**
 * In front of each message: a byte that says whether it is compressed, and four for its length (gRPC over HTTP/2,
 * `Length-Prefixed-Message`).
 */
const prefix = 5;

/** Counts the messages in the chunks of a stream, without keeping them. */
export class MessageCount {
  /** How many messages have begun: their prefixes are complete. */
  begun = 0;
  /** How many of them are compressed. */
  compressed = 0;
  /** The length of the longest compressed one, in bytes. */
  longestCompressed = 0;
  /** How many bytes of the current prefix were seen. */
  private seen = 0;
  /** Whether the current message is compressed. */
  private isCompressed = false;
  /** The length of the current message, as far as it was seen. */
  private length = 0;
  /** How many bytes of the current message are to come. */
  private rest = 0;

  /** Counts the messages that begin in a chunk. It takes a step for each message, and for each byte of a prefix. */
  add(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.rest > 0) {
        const step = Math.min(this.rest, chunk.length - at);
        this.rest -= step;
        at += step;
      } else {
        this.addToPrefix(chunk[at] ?? 0);
        at += 1;
      }
    }
  }

  private addToPrefix(byte: number): void {
    if (this.seen > 0) this.length = this.length * 256 + byte;
    else this.isCompressed = byte !== 0;
    this.seen += 1;
    if (this.seen < prefix) return;
    this.begun += 1;
    if (this.isCompressed) {
      this.compressed += 1;
      this.longestCompressed = Math.max(this.longestCompressed, this.length);
    }
    this.rest = this.length;
    this.seen = 0;
    this.length = 0;
  }
}
