import { Metadata, status } from '@grpc/grpc-js';
import { expect } from 'chai';
import { errorDetails } from '../../src/client';
import { ErrorInfo } from '../../src/gen/google/rpc/error_details';
import { Status } from '../../src/gen/google/rpc/status';

const withMetadata = (metadata: unknown): Error =>
  Object.assign(new Error('failed'), { code: status.UNAVAILABLE, metadata });

function withTrailer(bytes: Uint8Array): Error {
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', Buffer.from(bytes));
  return withMetadata(metadata);
}

function info(type: string): Error {
  const value = Buffer.from(ErrorInfo.encode({ reason: 'R', domain: '', metadata: {} }).finish());
  const typeUrl = `type.googleapis.com/google.rpc.${type}`;
  return withTrailer(
    Status.encode({ code: 1, message: '', details: [{ typeUrl, value }] }).finish(),
  );
}

describe('the details of an error', () => {
  it('are those of the service', () => {
    expect(errorDetails(info('ErrorInfo'))).to.include({ reason: 'R', retryDelay: undefined });
  });

  const foreign: Readonly<Record<string, unknown>> = {
    'no error': 'failed',
    null: null,
    'an error without metadata': new Error('failed'),
    'an error whose metadata are undefined': withMetadata(undefined),
    'an error with the headers of fetch': withMetadata(new Headers()),
    'an error with a map': withMetadata(new Map()),
    'an error with an object': withMetadata({ requestId: '1' }),
    'an error of gRPC itself': withMetadata(new Metadata()),
    'details that are not protobuf': withTrailer(Buffer.from([0xff])),
    'details of another type': info('Help'),
  };
  for (const [what, error] of Object.entries(foreign)) {
    it(`are nothing for ${what}`, () => {
      expect(errorDetails(error)).to.equal(undefined);
    });
  }
});
