import { once } from 'node:events';
import { connect, type ClientHttp2Session, type OutgoingHttpHeaders } from 'node:http2';
import { expect } from 'chai';
import { readConfig } from '../../src/config';
import { createSigner, type Signer } from '../support/fixtures';
import { callHeaders } from '../support/http2-peer';
import { databaseUrl } from '../support/mysql';
import { ServiceProcess } from '../support/process';

/** A zero-width space in UTF-8, which can slip in when somebody copies a key from a web page. */
const pasted = Buffer.from('\u200b', 'utf8').toString('latin1');

const secret = 'sik_gLxJ3vbQ8hWqT2sYp0KdEwRzUc5NaMf7iOtVlXyBn1A';

describe('what the service prints', () => {
  let signer: Signer;
  before(async () => {
    signer = await createSigner();
  });
  after(() => signer.remove());

  const environment = () => ({
    DATABASE_URL: databaseUrl(),
    SHARE_TOKEN_JWKS: signer.jwks,
    SESSION_BASE_URL: 'https://verify.example.com/session',
  });

  /** What strangers may send: each with a secret, and with something that no metadata should have. */
  const odd: readonly OutgoingHttpHeaders[] = [
    { 'x-api-key': secret + pasted },
    { 'x-api-key': `\t${secret}\t` },
    { 'x-api-key': [secret + pasted, secret] },
    { authorization: `Bearer ${secret}${pasted}` },
    { 'x-api-key-bin': `${secret}${pasted}` },
    { 'x-other': `{"level":"info","msg":"${secret}"}${pasted}` },
    { 'x-long': `${secret}${pasted}`.repeat(100) },
    { 'grpc-timeout': secret },
    { 'grpc-encoding': secret },
    { 'content-type': `application/grpc+${secret}` },
    { traceparent: `00-${secret}${pasted}` },
  ];

  it('is JSON, line by line, and repeats nothing of odd metadata, also with the variables that make gRPC talk', async () => {
    const talking = { GRPC_TRACE: 'all', GRPC_VERBOSITY: 'DEBUG' };
    const service = await ServiceProcess.serve({ ...environment(), ...talking });
    const session = connect(`http://127.0.0.1:${await service.port()}`);
    for (const headers of odd) await answered(session, headers);
    session.close();
    expect(await service.stop()).to.equal(0);

    expect(service.errors).to.equal('');
    for (const line of service.logLines) {
      expect(() => JSON.parse(line) as unknown, line).not.to.throw();
      expect(line).not.to.include(secret).and.not.to.include(secret.slice(4, 24));
    }
    expect(service.logLines.join('\n')).to.include('a library has complained');
  });

  it('is nothing at all with a variable that would have libraries print what they handle', async () => {
    const names = ['NODE_DEBUG', 'NODE_DEBUG_NATIVE', 'DEBUG'];
    const set = Object.fromEntries(names.map((name) => [name, 'nothing-real']));
    const service = ServiceProcess.run(['serve'], { ...environment(), ...set });
    expect(await service.ended()).to.equal(1);
    expect(service.logLines).to.deep.equal([]);
    for (const name of names) {
      expect(service.errors).to.match(new RegExp(`\\b${name} is set.* unset it`));
      expect(() => readConfig({ ...environment(), [name]: 'nothing-real' })).to.throw(
        `${name} is set`,
      );
    }
  });
});

/** Sends a call with some headers, and waits until the service has ended it in any way. */
async function answered(session: ClientHttp2Session, headers: OutgoingHttpHeaders): Promise<void> {
  const stream = session.request(
    callHeaders('/sessionimport.v1.SessionImport/ImportSession', headers),
  );
  stream.on('error', () => undefined);
  stream.resume();
  // An empty message: five bytes of a frame's head.
  stream.end(Buffer.alloc(5));
  await once(stream, 'close');
}
