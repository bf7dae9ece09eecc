import { status, type Metadata, type sendUnaryData, type ServerUnaryCall } from '@grpc/grpc-js';
import { expect } from 'chai';
import {
  ImportSessionRequest,
  SessionImportService,
  SessionStatus,
} from '../../src/gen/sessionimport/v1/session_import';
import { startTestServer } from '../support/grpc-server';
import { methodOf, methods } from '../support/methods';
import { frameOf, RawHttp2 } from '../support/raw-http2';
import { startHarness, type Harness } from '../support/service';

/** So many fields that no method has, with the number 15 and an empty value. */
const fields = (count: number): Buffer =>
  Buffer.concat(Array.from({ length: count }, () => Buffer.from([0x7a, 0])));

/** Every method that the server has. */
const paths = [
  ...methods.map((method) => methodOf(method).path),
  ...['Check', 'Watch', 'List'].map((name) => `/grpc.health.v1.Health/${name}`),
  ...['v1', 'v1alpha'].map(
    (version) => `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
  ),
];

describe('a request that takes long to read', () => {
  let harness: Harness;
  let raw: RawHttp2;
  before(async () => {
    harness = await startHarness();
    raw = new RawHttp2(harness.server.port);
  });
  after(async () => {
    raw.close();
    await harness.stop();
  });

  for (const path of paths) {
    it(`is refused by ${path}, with or without an API key`, async () => {
      for (const headers of [{}, { 'x-api-key': harness.target.apiKey }]) {
        const answer = await raw.send(path, frameOf(fields(1_100)), headers);
        expect(answer['grpc-status']).to.equal(String(status.INVALID_ARGUMENT));
        expect(answer['grpc-message']).to.include(
          'has%20far%20more%20fields%20or%20bytes%20than%20one%20needs',
        );
      }
    });
  }

  it('is answered without its grpc-encoding, which may be very long', async () => {
    const headers = { 'grpc-encoding': '"'.repeat(60_000) };
    const body = frameOf(Buffer.alloc(1), true);
    const answer = await raw.send(SessionImportService.importSession.path, body, headers);
    expect(answer['grpc-status']).to.equal(String(status.UNIMPLEMENTED));
    expect(answer['grpc-message']).to.include('not%20with%20gzip%20or%20deflate');
    expect(answer['grpc-message']).to.have.length.below(200);
  });

  it('is not a request with full lists: that is read', async () => {
    const request = ImportSessionRequest.create({
      acceptance: {
        statuses: Array.from({ length: 100 }, () => SessionStatus.SESSION_STATUS_APPROVED),
        relations: Array.from({ length: 100 }, () => 'logs'),
      },
    });
    const body = Buffer.from(ImportSessionRequest.encode(request).finish());
    const answer = await raw.send(SessionImportService.importSession.path, frameOf(body));
    expect(answer['grpc-status']).to.equal(String(status.UNAUTHENTICATED));
  });
});

describe('binary metadata', () => {
  it('never comes to gRPC, which would make an entry of each piece between commas', async () => {
    const seen: Metadata[] = [];
    const echo = (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>): void => {
      seen.push(call.metadata);
      answer(null, Buffer.alloc(0));
    };
    const server = await startTestServer({ '/test/Echo': echo });
    const raw = new RawHttp2(server.port);
    const headers = { 'x-some-bin': ','.repeat(60_000), 'x-text': 'text' };
    await raw.send('/test/Echo', frameOf(Buffer.alloc(0)), headers);
    expect(
      seen.map((metadata) => [metadata.get('x-some-bin'), metadata.get('x-text')]),
    ).to.deep.equal([[[], ['text']]]);
    raw.close();
    server.stop();
  });
});
