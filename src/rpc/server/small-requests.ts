import type { Server } from '@grpc/grpc-js';
import { withReaders } from './request-readers';

/** The largest request, in bytes: the name of a service, a file or a symbol. */
const mostBytes = 1_024;

/** What services are added to. */
type Services = Pick<Server, 'addService'>;

/**
 * Limits the requests of services that need no API key, and take only names. With 64 KiB, one could have 32,000 fields,
 * and to read it would take milliseconds.
 *
 * @returns what adds services to a server with this limit.
 */
export function withSmallRequests(server: Services): Services {
  return {
    addService: (service, implementation) => {
      const limited = withReaders(service, (read) => (bytes) => {
        if (bytes.length > mostBytes) throw new Error(`the request has over ${mostBytes} bytes`);
        return read(bytes);
      });
      server.addService(limited, implementation);
    },
  };
}
