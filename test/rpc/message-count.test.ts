import { expect } from 'chai';
import { MessageCount } from '../../src/rpc/server/message-count';

/** Messages of so many bytes, as gRPC puts them on the wire. */
function onTheWire(sizes: readonly number[]): Buffer {
  return Buffer.concat(
    sizes.map((size) => {
      const message = Buffer.alloc(5 + size, 0xff);
      message.writeUInt8(0, 0);
      message.writeUInt32BE(size, 1);
      return message;
    }),
  );
}

describe('the count of messages', () => {
  const sizes = [0, 1, 0, 0, 300, 5, 70_000, 4, 0];
  const bytes = onTheWire(sizes);

  it('is the same, however the bytes are cut into chunks', () => {
    for (const step of [1, 2, 3, 4, 5, 6, 7, 100, 16_384, bytes.length]) {
      const count = new MessageCount();
      for (let at = 0; at < bytes.length; at += step) count.add(bytes.subarray(at, at + step));
      expect(count.begun, `chunks of ${step}`).to.equal(sizes.length);
      expect(count.compressed).to.equal(0);
    }
  });

  it('counts a message as soon as its length is known', () => {
    const count = new MessageCount();
    const after = (chunk: Uint8Array): number => {
      count.add(chunk);
      return count.begun;
    };
    expect(after(bytes.subarray(0, 4))).to.equal(0);
    expect(after(bytes.subarray(4, 9))).to.equal(1);
    expect(after(bytes.subarray(9, 10))).to.equal(2);
  });

  it('takes the largest length that there is', () => {
    const count = new MessageCount();
    count.add(Buffer.from([0, 0xff, 0xff, 0xff, 0xff]));
    count.add(Buffer.alloc(100_000));
    expect(count.begun).to.equal(1);
  });

  it('tells how many are compressed, and how long the longest is', () => {
    const count = new MessageCount();
    const one = Buffer.from([1, 0, 0, 0, 1, 0xff]);
    count.add(Buffer.concat([one, Buffer.alloc(5), one]));
    expect([count.begun, count.compressed, count.longestCompressed]).to.deep.equal([3, 2, 1]);
    count.add(Buffer.from([0, 0, 1, 0, 0]));
    expect([count.begun, count.compressed, count.longestCompressed]).to.deep.equal([4, 2, 1]);
  });
});
