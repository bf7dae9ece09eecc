import type { ServiceDefinition } from '@grpc/grpc-js';

/** Makes a request of its bytes. */
type Reader = (bytes: Buffer) => unknown;

/**
 * Changes how the methods of a service read their requests.
 *
 * @param change makes the new reader of a method from the one that it has.
 */
export function withReaders(
  service: ServiceDefinition,
  change: (read: Reader) => Reader,
): ServiceDefinition {
  return Object.fromEntries(
    Object.entries(service).map(([name, method]) => [
      name,
      { ...method, requestDeserialize: change(method.requestDeserialize) },
    ]),
  );
}
