import { connect, constants, type ClientHttp2Session } from 'node:http2';
import { expect } from 'chai';
import { createSigner, type Signer } from '../support/fixtures';
import { HealthClient } from '../support/health';
import { eventually } from '../support/helpers';
import { callHeaders } from '../support/http2-peer';
import { serviceUrl } from '../support/mysql';
import { ServiceProcess } from '../support/process';

/** An empty message as gRPC puts it on the wire. */
const message = Buffer.alloc(5);

/** How long each connection goes on, in milliseconds. */
const lasting = 3_000;

/** Calls in bursts, and takes each call back as its deadline would: some are answered by then, and some are not. */
async function resetAtDeadline(port: number): Promise<void> {
  const end = performance.now() + lasting;
  while (performance.now() < end) {
    const session = connect(`http://127.0.0.1:${port}`);
    session.on('error', () => undefined);
    const closed = new Promise((resolve) => session.once('close', resolve));
    // A connection may wait after one of its address was cut off.
    const timer = setTimeout(() => {
      session.destroy();
    }, end - performance.now());
    while (!session.destroyed) await Promise.race([burst(session), closed]);
    clearTimeout(timer);
  }
}

async function burst(session: ClientHttp2Session): Promise<void> {
  const calls = Array.from({ length: 50 }, async () => {
    const stream = session.request(
      callHeaders('/sessionimport.v1.SessionImport/ListWorkflows', { 'grpc-timeout': '30m' }),
    );
    const closed = new Promise((resolve) => stream.once('close', resolve));
    stream.on('error', () => undefined).resume();
    stream.end(message);
    setTimeout(() => {
      stream.close(constants.NGHTTP2_CANCEL);
    }, 25);
    await closed;
  });
  await Promise.all(calls);
}

describe('a service whose peers take back calls that are just being answered', () => {
  let signer: Signer;
  before(async () => {
    signer = await createSigner();
  });
  after(() => signer.remove());

  it('cuts them off, lives on, and stops when it is told to', async function () {
    this.timeout(45_000);
    const service = await ServiceProcess.serve({
      DATABASE_URL: serviceUrl(),
      SHARE_TOKEN_JWKS: signer.jwks,
      SESSION_BASE_URL: 'https://verify.example.com/session',
      GRPC_REQUEST_TIMEOUT: '1',
      // Longer than this test may take: calls whose connections are gone must not be waited for.
      SHUTDOWN_GRACE: '300',
    });
    const port = await service.port();
    const cut = service.logged('cut a connection off');
    await Promise.all(Array.from({ length: 20 }, () => resetAtDeadline(port)));
    await cut;
    const health = new HealthClient(port);
    await eventually(async () => (await health.check('')) === 'SERVING');
    health.close();
    expect(await service.stop()).to.equal(0);
  });
});
