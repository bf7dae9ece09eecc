import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
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

const compiler = path.join(root, 'node_modules', '.bin', 'tsc');

/** What the client needs of the package's dependencies, and a compiler of its types. */
const linked = ['@grpc/grpc-js', '@bufbuild/protobuf', '@types/node'];

/** What the package is built of and packed from. */
const sources = [
  ...['package.json', 'README.md', 'LICENSE', 'tsconfig.json', 'tsconfig.build.json'],
  ...['src', 'proto'],
];

/** The kinds of packages that programs are in. */
const types = ['commonjs', 'module'] as const;

describe('the TypeScript client of the package', () => {
  let folder: string;
  let harness: Harness;
  before(async () => {
    harness = await startHarness();
    folder = await mkdtemp(path.join(tmpdir(), 'session-import-package-'));
    const modules = path.join(folder, 'node_modules');
    const installed = path.join(modules, 'session-import');
    await mkdir(installed, { recursive: true });
    await run('tar', ['-xzf', await packed(), '-C', installed, '--strip-components', '1']);
    for (const name of linked) {
      await mkdir(path.dirname(path.join(modules, name)), { recursive: true });
      await symlink(path.join(root, 'node_modules', name), path.join(modules, name));
    }
    await compileExamples();
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

  /**
   * Builds the client alone, which is all that is tested here, and packs the package. In a copy of its
   * sources: what was built in the tree stays there.
   */
  async function packed(): Promise<string> {
    const copy = path.join(folder, 'sources');
    for (const name of sources) {
      await cp(path.join(root, name), path.join(copy, name), { recursive: true });
    }
    await symlink(path.join(root, 'node_modules'), path.join(copy, 'node_modules'));
    const settings = path.join(copy, 'tsconfig.build.json');
    const build = JSON.parse(await readFile(settings, 'utf8')) as { compilerOptions: object };
    // The linter has looked at the types of what is built; nobody but this test looks at the outcome.
    const compilerOptions = { ...build.compilerOptions, noCheck: true };
    const client = { include: [], files: ['src/client/index.ts'], compilerOptions };
    await writeFile(settings, JSON.stringify({ ...build, ...client }));
    await run(compiler, ['--project', settings]);
    const pack = ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder];
    const { stdout } = await run('npm', pack, { cwd: copy });
    return path.join(folder, stdout.trim());
  }

  /** Type-checks and compiles the example as a program of a package of its own, of each type. */
  async function compileExamples(): Promise<void> {
    for (const type of types) {
      const project = path.join(folder, type);
      await mkdir(project);
      await writeFile(path.join(project, 'package.json'), JSON.stringify({ type }));
      await cp(example, path.join(project, 'import-session.ts'));
    }
    const options = ['--strict', '--module', 'nodenext', '--target', 'es2023', '--types', 'node'];
    const files = types.map((type) => path.join(type, 'import-session.ts'));
    await run(compiler, [...options, ...files], { cwd: folder }).catch((error: unknown) => {
      throw new Error((error as { stdout: string }).stdout);
    });
  }

  const compiled = (type: (typeof types)[number]): string =>
    path.join(folder, type, 'import-session.js');

  for (const type of types) {
    it(`has types and imports a session, in a package of type ${type}`, async () => {
      const { db, source, target, signer, server } = harness;
      const original = await createSession(db, source, 'user');
      const token = await signer.share(source, target, 'user', original);
      const command: Command = [
        process.execPath,
        ...[compiled(type), '--plaintext', '--vendor-data', type],
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
    const program = compiled('commonjs');
    const args = [`127.0.0.1:${server.port}`, token, target.workflows.business];
    const result = await runExample([process.execPath, program, ...secure.options, ...args], {
      API_KEY: target.apiKey,
    });
    expect(result.exitCode).to.equal(0);
    expect(result.printed['session']).to.include({ sharedFromSession: original });
    await secure.stop();
  });
});
