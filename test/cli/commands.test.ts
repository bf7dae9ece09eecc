import { createHash } from 'node:crypto';
import {
  chmod,
  lstat,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { decodeJwt } from 'jose';
import { rowsOf, sessionOf } from '../support/client';
import { createProgram } from '../../src/cli/program';
import { relationsArgument } from '../../src/cli/relations';
import { migrations } from '../../src/db/migrations';
import { read, select } from '../../src/db/query';
import { toBinary, toId } from '../../src/model/ids';
import { createSigner } from '../support/fixtures';
import { run } from '../support/command';
import { createEmptyDatabase, createMigratedDatabase, databaseUrl, open } from '../support/mysql';
import { ServiceProcess } from '../support/process';
import { startHarness } from '../support/service';

describe('the command line', () => {
  let url: string;
  let folder: string;
  before(async () => {
    url = databaseUrl();
    folder = await mkdtemp(path.join(tmpdir(), 'session-import-cli-'));
  });
  after(() => rm(folder, { recursive: true }));

  /** Runs a command, and returns what it prints with `--json`. */
  async function json(...args: string[]): Promise<Record<string, string>> {
    const { exitCode, printed, errors } = await run([...args, '--json'], { DATABASE_URL: url });
    expect(exitCode, errors).to.equal(0);
    return JSON.parse(printed) as Record<string, string>;
  }

  async function failure(environment: Record<string, string>, ...args: string[]): Promise<string> {
    const { exitCode, errors } = await run(args, environment);
    expect(exitCode).to.equal(1);
    return errors;
  }

  it('takes an operator from an empty database to an imported session, without any SQL', async () => {
    url = await createEmptyDatabase();
    const signingKey = path.join(folder, 'signing-key.json');
    const jwks = path.join(folder, 'jwks.json');
    const [{ migrated }] = await Promise.all([
      json('migrate'),
      json('signing-key', 'generate', '--out', signingKey, '--jwks', jwks),
    ]);
    expect(migrated).to.include('001-create-applications');
    const [seeded, target] = await Promise.all([
      json('seed'),
      json('application', 'create', '--name', 'Fabrikam'),
    ]);
    const application = target['application_id'] ?? '';
    const workflowOf = (kind: string) =>
      json('workflow', 'create', '--application', application, '--kind', kind, '--name', kind);
    const [workflow, linkedWorkflow, key, token] = await Promise.all([
      workflowOf('business'),
      workflowOf('user'),
      json('api-key', 'create', '--application', application, '--days', '30'),
      json(
        ...['share-token', 'sign', '--key', signingKey, '--for', application],
        ...['--session', seeded['business_session_id'] ?? '', '--ttl', '600'],
        '--include-linked-sessions',
      ),
    ]);
    // No more than what most keys are for.
    expect(key).to.deep.include({ privileges: ['write:sessions'] });
    expect(token).to.include({ session_kind: 'business', linked_sessions: true });

    const service = await startHarness({
      environment: {
        DATABASE_URL: url,
        SHARE_TOKEN_JWKS: jwks,
        SHARE_TOKEN_SIGNING_KEY: signingKey,
        SESSION_BASE_URL: 'https://verify.example.com/session/',
      },
    });
    const answer = await service.client.import(key['api_key'] ?? '', {
      shareToken: token['share_token'] ?? '',
      workflowId: workflow['workflow_id'] ?? '',
      includeLinkedSessions: true,
      linkedWorkflowId: linkedWorkflow['workflow_id'] ?? '',
    });
    expect(sessionOf(answer).sharedFromSession).to.equal(seeded['business_session_id']);
    expect(sessionOf(answer).sessionUrl).to.match(
      /^https:\/\/verify\.example\.com\/session\/[^/]+$/,
    );
    expect(rowsOf(answer)['key_people']).to.be.greaterThan(3);
    expect(answer.linkedSessions.map(({ session }) => session?.sharedFromSession)).to.deep.equal([
      seeded['user_session_id'],
    ]);
    expect(await json('api-key', 'revoke', key['api_key_id'] ?? '')).to.include({ revoked: true });
    await service.stop();
  });

  it('keeps a private key to its owner, out of the set, and never overwrites one', async () => {
    const out = path.join(folder, 'private.json');
    const jwks = path.join(folder, 'set.json');
    const args = ['signing-key', 'generate', '--out', out, '--jwks', jwks, '--alg', 'ES256'];
    await json(...args);
    const modeOf = async (file: string) => (await stat(file)).mode & 0o777;
    expect(await modeOf(out)).to.equal(0o600);
    // The service may run as another user, and must be able to read it.
    expect(await modeOf(jwks)).to.equal(0o644);
    const [key] = (JSON.parse(await readFile(jwks, 'utf8')) as { keys: object[] }).keys;
    expect(key).to.include({ alg: 'ES256', kty: 'EC' }).and.not.have.property('d');
    expect(await failure({}, ...args)).to.include('EEXIST');
    const other = path.join(folder, 'other.json');
    const twice = ['signing-key', 'generate', '--out', other, '--jwks', jwks];
    const { kid = '' } = key as { kid?: string };
    const taken = await failure({}, ...twice, '--alg', 'ES256', '--kid', kid);
    expect(taken).to.include('another key has the same kid and alg');
    expect(await json(...twice)).to.include({ alg: 'EdDSA' });
    const secrets = path.join(folder, 'secrets.json');
    for (const [set, mode] of [
      [secrets, 0o600],
      [jwks, 0o640],
    ] as const) {
      const symmetric = ['--out', `${set}.key`, '--jwks', set, '--alg', 'HS256'];
      await json('signing-key', 'generate', ...symmetric);
      expect(await modeOf(set)).to.equal(mode);
    }
    const same = ['signing-key', 'generate', '--out', jwks, '--jwks', jwks];
    expect(await failure({}, ...same)).to.include('must be two files');
  });

  it('rolls back what migrate did, one migration at a time', async () => {
    const DATABASE_URL = await createMigratedDatabase();
    const migrate = async (...args: string[]): Promise<unknown> => {
      const { exitCode, printed, errors } = await run(['migrate', '--json', ...args], {
        DATABASE_URL,
      });
      expect(exitCode, errors).to.equal(0);
      return JSON.parse(printed);
    };
    expect(await migrate()).to.deep.include({ migrated: [] });
    const all = await migrations.getMigrations([]);
    const names = all.map((each) => migrations.getMigrationName(each)).toReversed();
    for (const name of names.slice(0, 2)) {
      expect(await migrate('--rollback')).to.deep.include({ taken_back: [name] });
    }
    expect(await migrate()).to.deep.include({ migrated: [names[1], names[0]] });
  });

  it('says everything that is wrong with the configuration at once, and no secret of it', async () => {
    const errors = await failure(
      { DATABASE_URL: 'postgres://u:hunter2@h/d', IMPORT_WORKERS: 'many', LOG_LEVEL: 'loud' },
      'serve',
    );
    expect(errors.split('\n').map((line) => line.trim().split(' ')[0])).to.include.members([
      'DATABASE_URL',
      'SHARE_TOKEN_JWKS',
      'SESSION_BASE_URL',
      'IMPORT_WORKERS',
      'LOG_LEVEL',
    ]);
    expect(errors).not.to.include('hunter2');
  });

  it('keeps who may read a JWK Set as it was, and repeats nothing of a file that is none', async () => {
    const jwks = path.join(folder, 'public.json');
    await writeFile(jwks, '{"keys":[]}');
    await chmod(jwks, 0o664);
    const args = ['signing-key', 'generate', '--jwks', jwks, '--out'];
    await json(...args, path.join(folder, 'one.json'));
    expect((await stat(jwks)).mode & 0o777).to.equal(0o664);
    for (const text of ['{"keys":[{"k":"a secret"', 'null', '[]']) {
      await writeFile(jwks, text);
      const errors = await failure({}, ...args, path.join(folder, 'two.json'));
      expect(errors)
        .to.include(jwks)
        .and.match(/is not JSON|is not a JWK Set/);
      expect(errors).not.to.include('a secret');
    }
    // No private key is left behind by an attempt that has failed.
    expect((await readdir(folder)).includes('two.json')).to.equal(false);
  });

  it('adds a key to the JWK Set that a link leads to, and leaves the link', async () => {
    const jwks = path.join(folder, 'linked.json');
    const links = ['link.json', 'link-to-link.json'].map((name) => path.join(folder, name));
    await writeFile(jwks, '{"keys":[]}');
    await symlink('linked.json', links[0] ?? '');
    await symlink('link.json', links[1] ?? '');
    for (const [index, link] of links.entries()) {
      const out = path.join(folder, `private-of-link-${index}.json`);
      const { kid } = await json('signing-key', 'generate', '--jwks', link, '--out', out);
      const { keys } = JSON.parse(await readFile(jwks, 'utf8')) as { keys: { kid: string }[] };
      expect(keys.at(-1)?.kid).to.equal(kid);
      expect((await lstat(link)).isSymbolicLink()).to.equal(true);
    }
  });

  it('signs no token that could never be used', async () => {
    const seeded = await json('seed');
    const key = path.join(folder, 'bound.json');
    const jwks = path.join(folder, 'bound-set.json');
    const importing = seeded['importing_application_id'] ?? '';
    await json(
      ...['signing-key', 'generate', '--out', key, '--jwks', jwks, '--application', importing],
    );
    const sign = (target: string, ...options: string[]) =>
      failure(
        { DATABASE_URL: url },
        ...['share-token', 'sign', '--key', key, '--session', seeded['user_session_id'] ?? ''],
        ...['--for', target, ...options],
      );
    const [itself, others, linked] = await Promise.all([
      sign(seeded['source_application_id'] ?? ''),
      sign(importing),
      sign(importing, '--include-linked-sessions'),
    ]);
    expect(itself).to.include('share with itself');
    expect(others).to.include('signs for another application');
    expect(linked).to.include('only a business session');
  });

  it('signs the grounds that it is given, and no others', async () => {
    const seeded = await json('seed');
    const signer = await createSigner();
    const evidence = path.join(folder, 'consent.pdf');
    await writeFile(evidence, 'a signed form');
    const args = [
      ...['share-token', 'sign', '--key', signer.signingKey],
      ...['--session', seeded['user_session_id'] ?? ''],
      ...['--for', seeded['importing_application_id'] ?? ''],
    ];
    const full = [
      ...['--grounds', 'consent', '--purpose', 'onboarding', '--reference', 'consent/17'],
      ...['--obtained-at', '2026-01-31T12:00:00+01:00', '--evidence', evidence],
    ];
    const token = await json(...args, ...full);
    expect(token).to.include({ grounds: 'consent' });
    expect(decodeJwt(token['share_token'] ?? '')['grounds']).to.deep.equal({
      kind: 'consent',
      purpose: 'onboarding',
      reference: 'consent/17',
      obtained_at: Date.UTC(2026, 0, 31, 11) / 1_000,
      evidence_sha256: createHash('sha256').update('a signed form').digest('hex'),
    });
    const environment = { DATABASE_URL: url };
    expect(await failure(environment, ...args, '--purpose', 'aml')).to.include('need --grounds');
    const future = ['--grounds', 'contract', '--obtained-at', '2999-01-01'];
    expect(await failure(environment, ...args, ...future)).to.include('must not be in the future');
    await signer.remove();
  });

  it('signs the choice of relations that it is given, if it fits the session', async () => {
    const seeded = await json('seed');
    const signer = await createSigner();
    const args = [
      ...['share-token', 'sign', '--key', signer.signingKey],
      ...['--session', seeded['user_session_id'] ?? ''],
      ...['--for', seeded['importing_application_id'] ?? ''],
    ];
    const token = await json(...args, '--relations', 'logs, contact_details,logs');
    expect(token).to.include({ relations: 'contact_details,logs' });
    expect(decodeJwt(token['share_token'] ?? '')['relations']).to.deep.equal([
      'contact_details',
      'logs',
    ]);
    const everything = await json(...args);
    expect(everything).to.include({ relations: null });
    const refusal = (names: string) =>
      failure({ DATABASE_URL: url }, ...args, '--relations', names);
    expect(await refusal('logs,documents')).to.include(
      'documents must be a relation of user sessions',
    );
    expect(await refusal('aml_hits')).to.include('without aml_screenings');
    expect(() => relationsArgument('logs,,faces')).to.throw('with commas between them');
    await signer.remove();
  });

  it('says that a database is not up to date, and what to do', async () => {
    const environment = { DATABASE_URL: await createEmptyDatabase() };
    const serving = await startHarness({ environment }).catch((error: unknown) => error);
    for (const errors of [String(serving), await failure(environment, 'seed')]) {
      expect(errors).to.include('run "session-import migrate"');
    }
  });

  it('reads a .env file in development, and not in production', async () => {
    const cwd = await mkdtemp(path.join(folder, 'project-'));
    await writeFile(path.join(cwd, '.env'), 'DATABASE_URL=mysql://root@127.0.0.1:1/nothing\n');
    const seed = async (mode: string): Promise<string> => {
      const command = ServiceProcess.run(['seed'], { NODE_ENV: mode }, cwd);
      expect(await command.ended()).to.equal(1);
      return command.errors;
    };
    const [development, production] = await Promise.all([seed('development'), seed('production')]);
    expect(development).to.include('can not be reached (ECONNREFUSED)');
    expect(production).to.include('DATABASE_URL is not set');
  });

  it('says that MySQL has refused the credentials, and that TLS may be what it misses', async () => {
    const wrong = new URL(url);
    wrong.password = 'hunter2-is-wrong';
    const errors = await failure({ DATABASE_URL: wrong.href }, 'seed');
    expect(errors)
      .to.include('MySQL refused the user or the password')
      .and.include('DATABASE_TLS is off')
      .and.not.match(/can not be reached|hunter2/);
  });

  it('prints a token in a table whose other lines are as short as they are', async () => {
    const [session, application, signer] = [
      await json('seed'),
      await json('seed'),
      await createSigner(),
    ];
    const args = [
      ...['share-token', 'sign', '--key', signer.signingKey],
      ...['--session', session['user_session_id'] ?? ''],
      ...['--for', application['importing_application_id'] ?? ''],
    ];
    const { printed } = await run(args, { DATABASE_URL: url });
    expect(printed)
      .to.match(/^share token +\S{200,}$/m)
      .and.match(/^session kind +user$/m);
    await signer.remove();
  });

  it('sets what sessions a workflow takes, replaces that, and says what is wrong with it', async () => {
    const { application_id: application = '' } = await json('application', 'create', '--name', 'x');
    const create = ['workflow', 'create', '--application', application, '--name', 'x'];
    const rules = 'max_age=90d documents_unexpired statuses=approved,kyc_expired relations=faces';
    const created = await json(...create, '--kind', 'user', '--acceptance', ` ${rules} `);
    const id = created['workflow_id'] ?? '';
    expect(created['acceptance']).to.equal(rules.replace('90d', '7776000s'));
    expect(await json(...create, '--kind', 'business')).to.include({ acceptance: 'none' });
    const db = open(url);
    const stored = async (): Promise<unknown> => {
      const [workflow] = await read(
        db,
        select<{ rules: string | null }>(
          'SELECT CAST(acceptance AS CHAR) AS rules FROM workflows WHERE id = ?',
          [toBinary(toId(id))],
        ),
      );
      return JSON.parse(workflow?.rules ?? 'null');
    };
    expect(await stored()).to.deep.equal({
      max_age: 7_776_000,
      documents_unexpired: true,
      statuses: ['Approved', 'Kyc Expired'],
      relations: ['faces'],
    });
    const update = (text: string) => ['workflow', 'update', id, '--acceptance', text];
    expect(await json(...update('max_age=36h'))).to.include({ acceptance: 'max_age=129600s' });
    expect(await stored()).to.deep.equal({ max_age: 129_600 });
    const other = await failure({ DATABASE_URL: url }, ...update('relations=documents'));
    expect(other).to.include(
      'user sessions have no relation documents; they have id_verifications',
    );
    const unclear = ServiceProcess.run([...update('max_age=0s')], { DATABASE_URL: url });
    expect(await unclear.ended()).to.equal(1);
    expect(await json(...update('none'))).to.include({ acceptance: 'none' });
    expect(await stored()).to.equal(null);
    await db.destroy();
  });

  it('says what does not exist', async () => {
    const nobody = '0190a000-0000-7000-8000-000000000000';
    const environment = { DATABASE_URL: url };
    const signer = await createSigner();
    const attempts = [
      ['api-key', 'create', '--application', nobody],
      ['workflow', 'create', '--application', nobody, '--kind', 'user', '--name', 'x'],
      ['workflow', 'update', nobody, '--acceptance', 'none'],
      ['api-key', 'revoke', nobody],
      ['share-token', 'sign', '--key', signer.signingKey, '--session', nobody, '--for', nobody],
    ];
    for (const errors of await Promise.all(attempts.map((args) => failure(environment, ...args)))) {
      expect(errors).to.match(/^session-import: there is no /);
    }
    await signer.remove();
  });

  it('explains itself: every command, and every variable of serve', async () => {
    const serve = ServiceProcess.run(['serve', '--help'], {});
    expect(await serve.ended()).to.equal(0);
    const program = createProgram().helpInformation();
    const commands = ['serve', 'migrate', 'seed', 'application', 'workflow', 'api-key'];
    for (const name of [...commands, 'signing-key', 'share-token', 'audit']) {
      expect(program).to.include(name);
    }
    const variables = serve.logLines.join('\n');
    expect(variables).to.include('SHARE_TOKEN_JWKS').and.include('default: 64');
  });
});
