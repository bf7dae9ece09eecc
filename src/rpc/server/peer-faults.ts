import { status } from '@grpc/grpc-js';
import type { SentStatus } from './pushback';

/**
 * Faults of the peer for which the status of grpc-js blames the service, or repeats what the peer has sent; and the
 * status that is sent instead.
 */
const faults: readonly {
  /** What the text of grpc-js begins with. */
  readonly text: string;
  readonly told: string;
  /** The code, if it is not INVALID_ARGUMENT. */
  readonly code?: status;
}[] = [
  {
    text: 'Error deserializing request',
    told: 'The request is not a message of this method, or has far more fields or bytes than one needs. Make the client from the contract of the service.',
  },
  {
    text: 'Failed to decompress message',
    told: 'The request can not be decompressed with the encoding that grpc-encoding names.',
  },
  {
    // The text of grpc-js has the encoding, which may have 60 KB. Many clients can't read such a status.
    text: 'Received message compressed with unsupported encoding',
    told: 'The request is compressed, but not with gzip or deflate. Send it uncompressed.',
    code: status.UNIMPLEMENTED,
  },
  {
    text: 'Invalid grpc-timeout value',
    told: 'grpc-timeout must be up to 8 digits and one of the units H, M, S, m, u, n.',
  },
  {
    text: 'Received no request message',
    told: 'The call ended before a whole request message arrived. Send exactly one.',
  },
  {
    text: 'Received a second request message',
    told: 'More than one request message arrived. Send exactly one.',
  },
];

/**
 * Changes the status if grpc-js can't read the request. The code becomes INVALID_ARGUMENT: grpc-js sends INTERNAL, which
 * wakes up an operator, or UNIMPLEMENTED, which tells the client that the service is too old. Only an unsupported encoding
 * stays UNIMPLEMENTED, as gRPC says (its page "Compression"), and only its text changes.
 *
 * @param sent a status that the handler or grpc-js itself sends.
 */
export function blamingPeer(sent: SentStatus): SentStatus {
  if (sent.code !== status.INTERNAL && sent.code !== status.UNIMPLEMENTED) return sent;
  const fault = faults.find(({ text }) => sent.details.startsWith(text));
  if (!fault) return sent;
  return { ...sent, code: fault.code ?? status.INVALID_ARGUMENT, details: fault.told };
}
