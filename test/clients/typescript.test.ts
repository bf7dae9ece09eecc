import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import type { Command } from '../../scripts/mysql/processes';
import { SessionKind, type Session } from '../../src/client';
import { createSession } from '../support/fixtures';
import { startHarness, type Harness } from '../support/service';
import { runExample, startWithMutualTls } from './run-example';

const run = promisify(execFile);
const root = path.join(__dirname, '..', '..');
const example = path.join(root, 'examples', 'typescript', 'import-session.ts');

/** What the client needs of the package's dependencies, and a compiler of its types. */
const linked = ['@grpc/grpc-js', '@bufbuild/protobuf', '@types/node'];

describe('the TypeScript client of the package', () => {
  let folder: string;
  let harness: Harness;
  before(async () => {
    harness = await startHarness();
    folder = await mkdtemp(path.join(tmpdir(), 'session-import-package-'));
    const modules = path.join(folder, 'node_modules');
    const installed = path.join(modules, 'session-import');
    await mkdir(installed, { recursive: true });
    const pack = ['pack', '--silent', '--pack-destination', folder];
    const { stdout } = await run('npm', pack, { cwd: root });
    const archive = path.join(folder, stdout.trim());
    await run('tar', ['-xzf', archive, '-C', installed, '--strip-components', '1']);
    for (const name of linked) {
      await mkdir(path.dirname(path.join(modules, name)), { recursive: true });
      await symlink(path.join(root, 'node_modules', name), path.join(modules, name));
    }
  });
  after(async () => {
    await harness.stop();
    await rm(folder, { recursive: true });
  });

  it('comes with the proto file and the service config', () => {
    const { resolve } = createRequire(path.join(folder, 'a consumer'));
    for (const file of ['sessionimport/v1/session_import.proto', 'service-config.json']) {
      expect(resolve(`session-import/proto/${file}`)).to.include(folder);
    }
  });

  /** Type-checks and compiles the example as a program of a package's own. */
  async function compiled(type: string): Promise<string> {
    const project = await mkdtemp(path.join(folder, 'consumer-'));
    await writeFile(path.join(project, 'package.json'), JSON.stringify({ type }));
    await cp(example, path.join(project, 'import-session.ts'));
    const options = ['--strict', '--module', 'nodenext', '--target', 'es2023', '--types', 'node'];
    const tsc = path.join(root, 'node_modules', '.bin', 'tsc');
    await run(tsc, [...options, 'import-session.ts'], { cwd: project }).catch((error: unknown) => {
      throw new Error((error as { stdout: string }).stdout);
    });
    return path.join(project, 'import-session.js');
  }

  for (const type of ['commonjs', 'module']) {
    it(`has types and imports a session, in a package of type ${type}`, async () => {
      const { db, source, target, signer, server } = harness;
      const original = await createSession(db, source, 'user');
      const token = await signer.share(source, target, 'user', original);
      const command: Command = [
        process.execPath,
        ...[await compiled(type), '--plaintext', '--vendor-data', type],
        ...[`127.0.0.1:${server.port}`, token, target.workflows.user],
      ];

      const first = await runExample(command, { API_KEY: target.apiKey });
      expect(first.exitCode).to.equal(0);
      const session = first.printed['session'] as Session;
      expect(session).to.deep.include({
        sessionKind: SessionKind.SESSION_KIND_USER,
        vendorData: type,
        sharedFromSession: original,
      });

      const second = await runExample(command, { API_KEY: target.apiKey });
      expect(second.exitCode).to.equal(1);
      expect(second.printed).to.deep.include({
        code: 'PERMISSION_DENIED',
        reason: 'SESSION_ALREADY_IMPORTED',
        metadata: { session_id: session.sessionId, shared_from_session: original },
      });
    });
  }

  it('shows its certificate to a service that wants one', async () => {
    const secure = await startWithMutualTls();
    const { db, source, target, signer, server } = secure.harness;
    const original = await createSession(db, source, 'business');
    const token = await signer.share(source, target, 'business', original);
    const program = await compiled('commonjs');
    const args = [`127.0.0.1:${server.port}`, token, target.workflows.business];
    const result = await runExample([process.execPath, program, ...secure.options, ...args], {
      API_KEY: target.apiKey,
    });
    expect(result.exitCode).to.equal(0);
    expect(result.printed['session']).to.include({ sharedFromSession: original });
    await secure.stop();
  });
});
