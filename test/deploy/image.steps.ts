import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { carryOut, commandOf, type Stage } from '../../scripts/dockerfile-steps';
import { freePort } from '../../scripts/free-port';
import { atExit, removeFolder } from '../../scripts/mysql/cleanup';
import { rowsOf, sessionOf, TestClient } from '../support/client';
import {
  addLogs,
  createSession,
  createSigner,
  createTenant,
  type Signer,
} from '../support/fixtures';
import { createEmptyDatabase, open } from '../support/mysql';
import { ServiceProcess } from '../support/process';
import { root } from './files';

describe('the steps of the Dockerfile, carried out in folders', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'session-import-image-'));
  const forget = atExit(() => {
    removeFolder(folder);
  });
  let image: Stage;
  let signer: Signer;
  let environment: Record<string, string>;
  before(async function () {
    // Installs twice and compiles once.
    this.timeout(600_000);
    signer = await createSigner();
    image = await carryOut(root, folder);
    environment = {
      DATABASE_URL: await createEmptyDatabase(),
      SHARE_TOKEN_JWKS: signer.jwks,
      SESSION_BASE_URL: 'https://verify.example.com/session',
    };
  });
  after(async () => {
    await signer.remove();
    forget();
    removeFolder(folder);
  });

  function start(settings: Record<string, string>, args?: readonly string[]): ServiceProcess {
    const { argv, cwd, env } = commandOf(image, args);
    return ServiceProcess.start(argv, { cwd, env: { ...env, ...settings } });
  }

  /** The exit code of what an engine runs to see whether a container is healthy. */
  function health(settings: Record<string, string>): Promise<number | null> {
    const { cwd, env } = commandOf(image);
    return ServiceProcess.start(image.healthcheck, { cwd, env: { ...env, ...settings } }).ended();
  }

  it('leave the program, its production dependencies and nothing else', () => {
    const app = path.join(image.root, image.workdir);
    expect(readdirSync(image.root).sort()).to.deep.equal(['app', 'usr']);
    expect(readdirSync(app).sort()).to.deep.equal([
      'LICENSE',
      'dist',
      'node_modules',
      'package.json',
      'proto',
    ]);
    const lock = readFileSync(path.join(app, 'node_modules', '.package-lock.json'), 'utf8');
    const { packages } = JSON.parse(lock) as { packages: Record<string, { dev?: true }> };
    expect(packages).to.include.keys('node_modules/@grpc/grpc-js');
    expect(Object.keys(packages).filter((name) => packages[name]?.dev)).to.deep.equal([]);
  });

  it('make a program that will not speak plain text on all addresses unasked', async () => {
    const service = start(environment);
    expect(await service.ended()).to.equal(1);
    expect(service.errors).to.include('GRPC_ALLOW_PLAINTEXT');
  });

  it('make a program that migrates, serves, is healthy, and ends well when it is stopped', async () => {
    const settings = {
      ...environment,
      GRPC_ADDRESS: '127.0.0.1:0',
      METRICS_ADDRESS: `127.0.0.1:${await freePort()}`,
    };
    const migration = start(environment, ['migrate', '--json']);
    expect(await migration.ended(), migration.errors).to.equal(0);

    expect(await health(settings)).to.equal(1);
    const service = start(settings);
    const client = new TestClient(await service.port());
    expect(await health(settings)).to.equal(0);

    const db = open(environment['DATABASE_URL'] ?? '');
    const [source, target] = [await createTenant(db), await createTenant(db)];
    const original = await createSession(db, source, 'user');
    await addLogs(db, 'user', original, 3);
    const answer = await client.import(target.apiKey, {
      shareToken: await signer.share(source, target, 'user', original),
      workflowId: target.workflows.user,
    });
    expect(sessionOf(answer).sharedFromSession).to.equal(original);
    expect(rowsOf(answer)).to.include({ logs: 3 });
    await db.destroy();
    client.close();

    expect(await service.stop()).to.equal(0);
    expect(service.errors).to.equal('');
    expect(await health(settings)).to.equal(1);
  });
});
