import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { transform } from 'sucrase';
import { SessionKind, type Session } from '../../src/client';
import { createSession } from '../support/fixtures';
import { builtProgram } from '../support/program';
import { startHarness, type Harness } from '../support/service';
import { runExample, startWithMutualTls, type ExampleResult } from './run-example';

const root = path.join(__dirname, '..', '..');

/** Programs that use the client as they would if it were installed. `make test-image` installs it. */
describe('the TypeScript client', () => {
  let folder: string;
  let harness: Harness;
  before(async () => {
    harness = await startHarness();
    folder = await mkdtemp(path.join(tmpdir(), 'session-import-client-'));
    const modules = path.join(folder, 'node_modules');
    const client = path.join(modules, 'session-import-client');
    await mkdir(client, { recursive: true });
    await cp(path.join(root, 'client', 'package.json'), path.join(client, 'package.json'));
    await symlink(path.dirname(builtProgram()), path.join(client, 'dist'));
    await symlink(path.join(root, 'node_modules', '@grpc'), path.join(modules, '@grpc'));
    for (const name of ['import-session', 'sessions']) {
      const source = path.join(root, 'examples', 'typescript', `${name}.ts`);
      const { code } = transform(await readFile(source, 'utf8'), {
        transforms: ['typescript', 'imports'],
      });
      await writeFile(path.join(folder, `${name}.js`), code);
    }
  });
  after(async () => {
    await harness.stop();
    await rm(folder, { recursive: true });
  });

  function example(
    name: string,
    apiKey: string,
    ...args: readonly string[]
  ): Promise<ExampleResult> {
    return runExample([process.execPath, path.join(folder, `${name}.js`), ...args], {
      API_KEY: apiKey,
    });
  }

  const address = (): string => `127.0.0.1:${harness.server.port}`;

  it('says what to do first if it is packed where nothing is built', async () => {
    // Seen from this folder, ../src/gen does not exist.
    const cwd = path.join(folder, 'node_modules', 'session-import-client');
    const packing = promisify(execFile)('npm', ['run', '--silent', 'prepack'], { cwd });
    const { stderr } = await packing.catch((error: unknown) => error as { stderr: string });
    expect(stderr).to.include('Run make build first');
  });

  it('imports a session, gets the same answer for the same id, and reads why it is refused', async () => {
    const { db, source, target, signer } = harness;
    const original = await createSession(db, source, 'user');
    const token = await signer.share(source, target, 'user', original);
    const request = ['--plaintext', address(), token, target.workflows.user];
    const named = ['--request-id', original, '--vendor-data', 'Ada', ...request];

    const first = await example('import-session', target.apiKey, ...named);
    expect(first.exitCode).to.equal(0);
    const session = first.printed['session'] as Session;
    expect(session).to.deep.include({
      sessionKind: SessionKind.SESSION_KIND_USER,
      vendorData: 'Ada',
      sharedFromSession: original,
    });
    expect(await example('import-session', target.apiKey, ...named)).to.deep.equal(first);

    const refused = await example('import-session', target.apiKey, ...request);
    expect(refused.exitCode).to.equal(1);
    expect(refused.printed).to.deep.include({
      code: 'PERMISSION_DENIED',
      reason: 'SESSION_ALREADY_IMPORTED',
      metadata: { session_id: session.sessionId, shared_from_session: original },
    });
  });

  it('shares a session, reads it, and asks where it came from', async () => {
    const { db, source, target } = harness;
    const original = await createSession(db, source, 'user');
    const sessions = (action: string, ...args: readonly string[]) =>
      example('sessions', source.apiKey, action, '--plaintext', address(), original, ...args);
    const shared = await sessions('share', target.applicationId);
    expect(shared.printed['shareToken']).to.match(/^[\w-]+\.[\w-]+\.[\w-]+$/);
    const { printed } = await sessions('read');
    expect(printed['session']).to.deep.include({ sessionId: original });
    expect(printed['logs']).to.equal(0);
    expect((await sessions('trace')).exitCode).to.equal(0);

    const refused = await sessions('share', source.applicationId);
    expect(refused.exitCode).to.equal(1);
    expect(refused.printed).to.include({ reason: 'INVALID_REQUEST' });
  });

  it('shows its certificate to a service that wants one', async () => {
    const secure = await startWithMutualTls();
    const { db, source, target, signer, server } = secure.harness;
    const original = await createSession(db, source, 'business');
    const token = await signer.share(source, target, 'business', original);
    const call = [`127.0.0.1:${server.port}`, token, target.workflows.business];
    const result = await example('import-session', target.apiKey, ...secure.options, ...call);
    expect(result.exitCode).to.equal(0);
    expect(result.printed['session']).to.include({ sharedFromSession: original });
    await secure.stop();
  });
});
