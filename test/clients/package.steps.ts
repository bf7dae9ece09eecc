import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { createSession } from '../support/fixtures';
import { startHarness, type Harness } from '../support/service';
import { runExample } from './run-example';

const run = promisify(execFile);
const root = path.join(__dirname, '..', '..');
const compiler = path.join(root, 'node_modules', '.bin', 'tsc');

/** The oldest gRPC that the package says it works with, and the newest. */
const versions = ['1.10.0', 'latest'];

/** How programs are compiled: the type of their package, and what TypeScript is told of modules. */
const programs = [
  { type: 'commonjs', module: 'node16', moduleResolution: 'node16' },
  { type: 'module', module: 'node16', moduleResolution: 'node16' },
  { type: 'commonjs', module: 'nodenext', moduleResolution: 'nodenext' },
  { type: 'module', module: 'nodenext', moduleResolution: 'nodenext' },
  { type: 'module', module: 'esnext', moduleResolution: 'bundler' },
] as const;

describe('the package of the TypeScript client', () => {
  let harness: Harness;
  let folder: string;
  let packed: string;
  before(async function () {
    this.timeout(300_000);
    harness = await startHarness();
    folder = await mkdtemp(path.join(tmpdir(), 'session-import-package-'));
    const pack = ['pack', '--silent', '--workspace', 'client', '--pack-destination', folder];
    const { stdout } = await run('npm', pack, { cwd: root });
    packed = path.join(folder, stdout.trim());
  });
  after(async () => {
    await harness.stop();
    await rm(folder, { recursive: true });
  });

  for (const version of versions) {
    describe(`with gRPC ${version}`, () => {
      let project: string;
      before(async function () {
        this.timeout(300_000);
        project = path.join(folder, version);
        await mkdir(project);
        await writeFile(path.join(project, 'package.json'), '{ "private": true }');
        const packages = [packed, `@grpc/grpc-js@${version}`];
        await run('npm', ['install', '--no-audit', '--no-fund', ...packages], { cwd: project });
      });

      it('brings nothing of the server, and one gRPC', async () => {
        const modules = path.join(project, 'node_modules');
        const { resolve } = createRequire(path.join(modules, 'session-import-client', 'index.js'));
        expect(resolve('@grpc/grpc-js')).to.include(path.join(modules, '@grpc', 'grpc-js'));
        expect(await readdir(modules)).not.to.include('knex');
        const own = path.join(modules, 'session-import-client', 'dist');
        expect(await readdir(own)).to.have.members(['client', 'gen']);
        for (const file of ['sessionimport/v1/session_import.proto', 'service-config.json']) {
          expect(resolve(`session-import-client/proto/${file}`)).to.include(modules);
        }
      });

      // How modules are found does not depend on the version: all ways are tried with one of them.
      const tried = version === 'latest' ? programs : programs.slice(0, 2);
      for (const { type, ...options } of tried) {
        it(`has types and imports a session, in a package of type ${type} (${options.moduleResolution})`, async function () {
          this.timeout(120_000);
          const program = path.join(project, `${type}-${options.moduleResolution}`);
          await mkdir(program);
          await writeFile(path.join(program, 'package.json'), JSON.stringify({ type }));
          await writeFile(
            path.join(program, 'tsconfig.json'),
            JSON.stringify({
              compilerOptions: {
                ...options,
                ...{ strict: true, exactOptionalPropertyTypes: true, target: 'es2022' },
                types: ['node'],
                // Checking the package's own types is slow: once for each version of gRPC.
                skipLibCheck: type !== 'commonjs' || options.moduleResolution !== 'node16',
              },
            }),
          );
          for (const name of ['import-session.ts', 'sessions.ts']) {
            await cp(path.join(root, 'examples', 'typescript', name), path.join(program, name));
          }
          await run(compiler, [], { cwd: program }).catch((error: unknown) => {
            throw new Error((error as { stdout: string }).stdout);
          });
          const { db, source, target, signer, server } = harness;
          const original = await createSession(db, source, 'user');
          const token = await signer.share(source, target, 'user', original);
          const call = ['--plaintext', `127.0.0.1:${server.port}`, token, target.workflows.user];
          const compiled = path.join(program, 'import-session.js');
          const { exitCode, printed } = await runExample([process.execPath, compiled, ...call], {
            API_KEY: target.apiKey,
          });
          expect(exitCode, JSON.stringify(printed)).to.equal(0);
          expect(printed['session']).to.include({ sharedFromSession: original });
        });
      }
    });
  }
});
