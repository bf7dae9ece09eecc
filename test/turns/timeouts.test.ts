import { expect } from 'chai';
import { timeoutLeft } from '../../src/rpc/server/timeouts';

describe('what is left of a timeout', () => {
  for (const [timeout, waited, left] of [
    ['10S', 0, '10S'],
    ['10S', 99, '10S'],
    ['10S', 2_500.4, '7500m'],
    ['250m', 100, '150m'],
    ['99999999u', 50_000, '50000m'],
    ['1n', 0.01, '0m'],
    ['20m', 20, '0m'],
    ['20m', 1_000, '0m'],
    ['0S', 1, '0m'],
    // In milliseconds, it would have nine digits.
    ['30H', 2_000_000, '106000S'],
    // 2^31 milliseconds and more, for gRPC in JavaScript 2^31 - 1.
    ['2147483S', 0, '2147483S'],
    ['2147484S', 0, '2147483S'],
    ['597H', 0, '2147483S'],
    ['1194H', 0, '2147483S'],
    ['99999999H', 0, '2147483S'],
    ['99999999H', 5_000, '2147478S'],
  ] as const) {
    it(`of ${timeout} after ${waited} ms is ${left}`, () => {
      expect(timeoutLeft(timeout, waited)).to.equal(left);
    });
  }

  for (const malformed of ['', '10', 'S', '123456789S', '-1S', '10s', '1.5S', ' 10S', '10S, 20S']) {
    it(`is nothing that gRPC reads if it is ${JSON.stringify(malformed)}`, () => {
      expect(timeoutLeft(malformed, 100)).not.to.match(/\d/);
    });
  }
});
