import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { CertificateAuthority } from '../support/certificates';
import { endings } from '../support/client';
import { withShortIntervals } from '../support/clock';
import { createSession } from '../support/fixtures';
import { replaceFile } from '../support/helpers';
import { serviceUrl } from '../support/mysql';
import { startHarness } from '../support/service';
import { serverNames, tlsClient } from '../support/tls';

const run = promisify(execFile);

describe('a file that the service reads again and again', () => {
  withShortIntervals();
  let authority: CertificateAuthority;
  let folder: string;
  before(async () => {
    authority = await CertificateAuthority.create();
    folder = await mkdtemp(path.join(tmpdir(), 'session-import-watched-'));
  });
  after(async () => {
    await authority.remove();
    await rm(folder, { recursive: true });
  });

  it('stays in use while a pipe has its name, which is logged, and is read again afterwards', async () => {
    const { certificate, privateKey } = await authority.issue('server', [...serverNames]);
    const urlFile = path.join(folder, 'url');
    await replaceFile(urlFile, serviceUrl());
    const harness = await startHarness({
      environment: {
        DATABASE_URL: '',
        DATABASE_URL_FILE: urlFile,
        GRPC_TLS_CERT: certificate,
        GRPC_TLS_KEY: privateKey,
        GRPC_TLS_CLIENT_CA: authority.file,
        GRPC_TLS_CLIENT_AUTH: 'optional',
      },
    });
    const { db, source, target, signer, logLines } = harness;
    const client = tlsClient(harness.server.port, authority);
    const loggedAfter = async (change: () => Promise<void>, ...texts: readonly string[]) => {
      const { length } = logLines;
      await change();
      await harness.logged(() =>
        logLines.slice(length).some((line) => texts.every((text) => line.includes(text))),
      );
    };
    const watched = [
      [signer.jwks, 'could not read the share token keys'],
      [signer.signingKey, 'the key that signs share tokens can not be used'],
      [urlFile, 'could not read the address of the database', 'can not be read'],
      [certificate, 'could not read the certificates for gRPC'],
      [privateKey, 'could not read the certificates for gRPC'],
      [authority.file, 'could not read the certificates for gRPC'],
    ] as const;
    for (const [file, complaint, why = 'is no file'] of watched) {
      const content = await readFile(file);
      await run('mkfifo', [`${file}.pipe`]);
      await loggedAfter(() => rename(`${file}.pipe`, file), complaint, why);
      // Another fault is logged at once, so the file is still being read.
      await loggedAfter(() => replaceFile(file, 'nonsense'), complaint);
      await replaceFile(file, content);
    }
    const sessionId = await createSession(db, source, 'user');
    const shareToken = await signer.share(source, target, 'user', sessionId);
    const request = { shareToken, workflowId: target.workflows.user };
    expect(await endings([client.import(target.apiKey, request)])).to.deep.equal(['OK']);
    client.close();
    await harness.stop();
  });

  it('is refused at the start if it is a pipe', async () => {
    const pipe = path.join(folder, 'pipe');
    await run('mkfifo', [pipe]);
    const settings = [
      { SHARE_TOKEN_JWKS: pipe },
      { SHARE_TOKEN_SIGNING_KEY: pipe },
      { DATABASE_URL: '', DATABASE_URL_FILE: pipe },
      { DATABASE_TLS_CA: pipe },
      { GRPC_TLS_CERT: pipe },
    ];
    for (const environment of settings) {
      const failure = await startHarness({ environment }).then(
        () => 'started',
        (error: unknown) => (error as Error).message,
      );
      expect(failure, JSON.stringify(environment)).to.match(
        /is no file|names a file that can not be read/,
      );
    }
  });
});
