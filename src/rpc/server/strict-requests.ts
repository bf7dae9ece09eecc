import { isUtf8 as isValidUtf8 } from 'node:buffer';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { withReaders } from './request-readers';

/** Half a surrogate pair: no UTF-8 text decodes to it, so it marks a field that was not UTF-8. */
const notUtf8 = '\ud800';

/**
 * The most numbers that a request may have on the wire: tags of fields, lengths of texts and messages, and values of enums
 * and of 32-bit integers. One with two lists of a hundred items has 450 at most.
 */
const mostNumbers = 1_024;

/** The largest safe integer of JavaScript. */
const largest = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * Replaces some invalid values of a request by other invalid values, which the check of the request
 * refuses. For a number that is too large, generated code would end the call without naming the field.
 *
 * It throws if there are too many numbers: grpc-js reads a request before its caller is known, and 64 KiB can have 32,000
 * fields that take 4 ms.
 */
class RequestReader extends BinaryReader {
  constructor(bytes: Uint8Array) {
    super(bytes, decode);
    const read = this.uint32.bind(this);
    let numbers = 0;
    this.uint32 = () => {
      numbers += 1;
      if (numbers > mostNumbers) throw new Error('the request has too many fields');
      return read();
    };
  }

  /** For example the seconds of a timestamp. No valid timestamp has the largest value. */
  override int64(): bigint {
    const value = BigInt(super.int64());
    if (value > largest) return largest;
    return value < -largest ? -largest : value;
  }
}

/** Whether a text field of a request was UTF-8, where {@link strictRequests} has read it. */
export function isUtf8(text: string): boolean {
  return text.isWellFormed();
}

/**
 * Reads the requests of a generated service so that text which is not UTF-8 is noticed. The default
 * decoder puts a replacement character in the place of every wrong byte, and different names would
 * become the same. Such a field becomes a text that is not well-formed, for the check of the request to refuse.
 *
 * A request with more than {@link mostNumbers} can't be read: the call ends with INVALID_ARGUMENT (`peer-faults.ts`).
 */
export function strictRequests(service: ServiceDefinition): ServiceDefinition {
  return withReaders(
    service,
    (read) => (bytes) =>
      // What is generated hands its argument to a decoder, which takes a reader as well as bytes.
      read(new RequestReader(bytes) as unknown as Buffer),
  );
}

/** A decoder that throws would take 10 µs for each text that is not UTF-8. */
function decode(bytes: Uint8Array): string {
  if (!isValidUtf8(bytes)) return notUtf8;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}
