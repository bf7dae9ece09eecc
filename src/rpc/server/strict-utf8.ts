import type { ServiceDefinition } from '@grpc/grpc-js';
import { BinaryReader } from '@bufbuild/protobuf/wire';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Half a surrogate pair: no UTF-8 text decodes to it, so it marks a field that was not UTF-8. */
const notUtf8 = '\ud800';

/** The largest safe integer of JavaScript. */
const largest = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * Replaces some invalid values of a request by other invalid values, which the check of the request
 * refuses. For a number that is too large, generated code would end the call without naming the field.
 */
class RequestReader extends BinaryReader {
  constructor(bytes: Uint8Array) {
    super(bytes, decode);
  }

  /** For example the seconds of a timestamp. No valid timestamp has the largest value. */
  override int64(): bigint {
    const value = BigInt(super.int64());
    if (value > largest) return largest;
    return value < -largest ? -largest : value;
  }
}

/** Whether a text field of a request was UTF-8, where {@link strictUtf8} has read it. */
export function isUtf8(text: string): boolean {
  return text.isWellFormed();
}

/**
 * Reads the requests of a generated service so that text which is not UTF-8 is noticed. The default
 * decoder puts a replacement character in the place of every wrong byte, and different names would
 * become the same.
 *
 * Such a field becomes a text that is not well-formed, for the check of the request to refuse.
 */
export function strictUtf8(service: ServiceDefinition): ServiceDefinition {
  return Object.fromEntries(
    Object.entries(service).map(([name, method]) => {
      const requestDeserialize = (bytes: Buffer): unknown =>
        // What is generated hands its argument to a decoder, which takes a reader as well as bytes.
        method.requestDeserialize(new RequestReader(bytes) as unknown as Buffer);
      return [name, { ...method, requestDeserialize }];
    }),
  );
}

function decode(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    return notUtf8;
  }
}
