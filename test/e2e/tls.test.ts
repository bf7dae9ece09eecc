import { copyFile, readFile } from 'node:fs/promises';
import { connect, type PeerCertificate } from 'node:tls';
import { expect } from 'chai';
import { CertificateAuthority, type Identity } from '../support/certificates';
import type { TestClient } from '../support/client';
import { endings, failureOf } from '../support/client';
import { withShortIntervals } from '../support/clock';
import { createSession } from '../support/fixtures';
import { eventually, replaceFile } from '../support/helpers';
import { startHarness, type Harness } from '../support/service';
import { serverNames, tlsClient } from '../support/tls';

describe('TLS', () => {
  withShortIntervals();
  let authority: CertificateAuthority;
  let stranger: CertificateAuthority;
  let server: Identity;
  let harness: Harness;
  const clients: TestClient[] = [];
  before(async () => {
    authority = await CertificateAuthority.create();
    stranger = await CertificateAuthority.create();
    server = await authority.issue('server', [...serverNames]);
  });
  after(async () => {
    await authority.remove();
    await stranger.remove();
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await harness.stop();
  });

  async function start(environment: Record<string, string> = {}): Promise<void> {
    harness = await startHarness({
      environment: {
        GRPC_TLS_CERT: server.certificate,
        GRPC_TLS_KEY: server.privateKey,
        ...environment,
      },
    });
  }

  function client(trusted: CertificateAuthority, identity?: Identity): TestClient {
    const made = tlsClient(harness.server.port, trusted, identity);
    clients.push(made);
    return made;
  }

  /** How an import ends that a client asks for. */
  async function importWith(caller: TestClient): Promise<string | undefined> {
    const { db, source, target, signer } = harness;
    const original = await createSession(db, source, 'user');
    const shareToken = await signer.share(source, target, 'user', original);
    const request = { shareToken, workflowId: target.workflows.user };
    const [ending] = await endings([caller.import(target.apiKey, request)]);
    return ending;
  }

  /** The certificate that the service shows to whoever connects now. */
  function shown(): Promise<PeerCertificate> {
    return new Promise((resolve, reject) => {
      const { port } = harness.server;
      const socket = connect(
        { port, host: '127.0.0.1', ALPNProtocols: ['h2'], rejectUnauthorized: false },
        () => {
          resolve(socket.getPeerCertificate());
          socket.destroy();
        },
      );
      socket.on('error', reject);
    });
  }

  it('protects calls, and nobody gets in who does not speak it, or trusts another authority', async () => {
    await start();
    expect(await importWith(client(authority))).to.equal('OK');
    expect(await importWith(client(stranger))).to.equal('UNAVAILABLE');
    expect(await importWith(harness.client)).to.equal('UNAVAILABLE');
    expect(
      JSON.parse(harness.logLines.find((line) => line.includes('"serving"')) ?? ''),
    ).to.include({
      tls: true,
    });
  });

  it('asks clients for a certificate of the given authority, if that is set', async () => {
    await start({ GRPC_TLS_CLIENT_CA: authority.file });
    const known = await authority.issue('client', [{ type: 'dns', value: 'client.internal' }]);
    const unknown = await stranger.issue('client', [{ type: 'dns', value: 'client.internal' }]);
    const expired = await authority.issue(
      'old',
      [{ type: 'dns', value: 'client.internal' }],
      -1_000,
    );
    expect(await importWith(client(authority, known))).to.equal('OK');
    for (const caller of [
      client(authority),
      client(authority, unknown),
      client(authority, expired),
    ]) {
      expect(await importWith(caller)).to.equal('UNAVAILABLE');
    }
  });

  it('lets clients come without a certificate, if that is set', async () => {
    await start({ GRPC_TLS_CLIENT_CA: authority.file, GRPC_TLS_CLIENT_AUTH: 'optional' });
    expect(await importWith(client(authority))).to.equal('OK');
  });

  it('shows a new certificate when the files are replaced, without a restart and without a break', async () => {
    const current = {
      certificate: authority.path('current.pem'),
      privateKey: authority.path('current.key'),
    };
    const replaceBy = async (identity: Identity): Promise<void> => {
      await replaceFile(current.certificate, await readFile(identity.certificate));
      await replaceFile(current.privateKey, await readFile(identity.privateKey));
    };
    await replaceBy(server);
    await start({ GRPC_TLS_CERT: current.certificate, GRPC_TLS_KEY: current.privateKey });
    const before = await shown();
    const longRunning = client(authority);
    expect(await importWith(longRunning)).to.equal('OK');

    await replaceBy(await authority.issue('next', [...serverNames]));
    await eventually(async () => (await shown()).serialNumber !== before.serialNumber);
    expect(await importWith(client(authority))).to.equal('OK');
    expect(await importWith(longRunning)).to.equal('OK');
  });

  it('trusts another authority when the file of authorities is replaced, and no broken one', async () => {
    const file = authority.path('clients.pem');
    await copyFile(authority.file, file);
    await start({ GRPC_TLS_CLIENT_CA: file });
    const ours = await authority.issue('ours', [{ type: 'dns', value: 'client.internal' }]);
    const theirs = await stranger.issue('theirs', [{ type: 'dns', value: 'client.internal' }]);
    expect(await importWith(client(authority, ours))).to.equal('OK');

    const [first, second] = [await readFile(authority.file), await readFile(stranger.file)];
    await replaceFile(file, Buffer.concat([first, Buffer.from('\n'), second.subarray(0, -60)]));
    await harness.logged(() =>
      harness.logLines.some((line) => line.includes('GRPC_TLS_CLIENT_CA is not what it must be')),
    );
    await replaceFile(file, second);
    await eventually(async () => (await importWith(client(authority, theirs))) === 'OK');
    expect(await importWith(client(authority, ours))).to.equal('UNAVAILABLE');
  });

  it('goes on with the old certificate while the files are wrong, and says so', async () => {
    const current = {
      certificate: authority.path('broken.pem'),
      privateKey: authority.path('broken.key'),
    };
    await copyFile(server.certificate, current.certificate);
    await copyFile(server.privateKey, current.privateKey);
    await start({ GRPC_TLS_CERT: current.certificate, GRPC_TLS_KEY: current.privateKey });
    const another = await authority.issue('another', [...serverNames]);
    const complains = (of: string) =>
      harness.logged(() =>
        harness.logLines.some(
          (line) => line.includes('the old ones stay in use') && line.includes(of),
        ),
      );
    await replaceFile(current.privateKey, await readFile(another.privateKey));
    await complains('GRPC_TLS_KEY is not the key of GRPC_TLS_CERT');
    await replaceFile(current.certificate, 'half a certific');
    await complains('GRPC_TLS_CERT is not what it must be');
    expect(await importWith(client(authority))).to.equal('OK');
  });

  it('does not start with certificates that can not be used', async () => {
    await start();
    const other = await authority.issue('other', [...serverNames]);
    const attempt = startHarness({
      environment: { GRPC_TLS_CERT: server.certificate, GRPC_TLS_KEY: other.privateKey },
    });
    const error = await attempt.then(
      () => undefined,
      (failure: unknown) => failure as Error,
    );
    expect(error?.message).to.equal(
      "the certificates for gRPC can't be used: GRPC_TLS_KEY is not the key of GRPC_TLS_CERT",
    );
    expect((await failureOf(harness.client.import(null, {}))).code).to.equal('UNAVAILABLE');
  });
});
