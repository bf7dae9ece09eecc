import { execFileSync } from 'node:child_process';
import { lstat, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import {
  Server,
  ServerCredentials,
  status,
  type sendUnaryData,
  type ServiceError,
} from '@grpc/grpc-js';
import { expect } from 'chai';
import { Results } from '../../src/cli/import-file/results';
import {
  ImportSessionResponse,
  SessionImportService,
} from '../../src/gen/sessionimport/v1/session_import';
import { toBinary, type SessionId } from '../../src/model/ids';
import { startWithMutualTls } from '../clients/run-example';
import { run, type Ended } from '../support/command';
import { createSession, createTenant, type Tenant } from '../support/fixtures';
import { select } from '../support/rows';
import { startProxiedHarness, type ProxiedHarness } from '../support/service';

type Result = Readonly<Record<string, unknown>>;

describe('import-file', () => {
  let harness: ProxiedHarness;
  let target: Tenant;
  let folder: string;
  before(async () => {
    harness = await startProxiedHarness();
    folder = await mkdtemp(path.join(tmpdir(), 'session-import-file-'));
  });
  beforeEach(async () => {
    target = await createTenant(harness.db);
  });
  after(async () => {
    await harness.stop();
    await rm(folder, { recursive: true });
  });

  /** A new session, and the line that imports it. */
  async function wanted(vendorData?: string) {
    const { db, source, signer } = harness;
    const original = await createSession(db, source, 'user');
    const line = {
      share_token: await signer.share(source, target, 'user', original),
      workflow_id: target.workflows.user,
      ...(vendorData === undefined ? {} : { vendor_data: vendorData }),
    };
    return { original, line };
  }

  async function fileOf(name: string, lines: readonly unknown[]): Promise<string> {
    const file = path.join(folder, name);
    const texts = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)));
    await writeFile(file, `${texts.join('\n')}\n`);
    return file;
  }

  const address = (): string => `127.0.0.1:${harness.server.port}`;

  function importing(file: string, ...options: readonly string[]): Promise<Ended> {
    const call = ['import-file', file, '--address', address(), '--plaintext', '--json'];
    return run([...call, ...options], { API_KEY: target.apiKey });
  }

  /** What a run has counted. */
  const counted = ({ printed }: Ended): unknown => JSON.parse(printed);

  const nothing = { imported: 0, imported_before: 0, refused: 0, failed: 0, malformed: 0 };

  /** The results by the number of their line. */
  async function resultsOf(file: string): Promise<Readonly<Record<number, Result>>> {
    const lines = (await readFile(`${file}.results`, 'utf8')).trimEnd().split('\n');
    const results = lines.map((line) => JSON.parse(line) as Result);
    return Object.fromEntries(results.map((result) => [Number(result['line']), result]));
  }

  const copiesOf = (original: SessionId) =>
    select('SELECT id, status, vendor_data FROM user_sessions WHERE shared_from_session_id = ?', [
      toBinary(original),
    ]);

  it('imports every line of JSON Lines, and says what came of each', async () => {
    const lines = [await wanted('Ada'), await wanted(), await wanted('Bea, "quoted"')];
    const file = await fileOf(
      'all.jsonl',
      lines.map(({ line }) => line),
    );
    const ended = await importing(file);
    expect(ended.errors).to.equal('');
    expect(ended.exitCode).to.equal(0);
    expect(counted(ended)).to.deep.equal({ ...nothing, imported: 3 });
    const results = await resultsOf(file);
    for (const [index, { original, line }] of lines.entries()) {
      const [copy, ...more] = await copiesOf(original);
      expect(more).to.deep.equal([]);
      const { session_id: id, ...result } = results[index + 1] ?? {};
      expect(result).to.include({ outcome: 'imported', shared_from_session: original });
      expect(copy?.['id']).to.deep.equal(toBinary(id as SessionId));
      expect(copy?.['vendor_data'] ?? undefined).to.deep.equal(
        line.vendor_data === undefined ? undefined : Buffer.from(line.vendor_data),
      );
    }
  });

  it('takes CSV with quotes, a byte order mark and any order of columns', async () => {
    const [first, second] = [await wanted(), await wanted()];
    const row = ({ line }: typeof first, name: string, trust: string): string =>
      [name, line.workflow_id, trust, line.share_token].join(',');
    const file = await fileOf('some.csv', [
      '\uFEFFvendor_data,workflow_id,trust_review,share_token',
      row(first, '"Ada, ""the first"""', 'true'),
      row(second, '', ''),
      'a short row',
    ]);
    const ended = await importing(file);
    expect(counted(ended)).to.deep.equal({ ...nothing, imported: 2, malformed: 1 });
    expect(ended.exitCode).to.equal(2);
    expect((await resultsOf(file))[4]).to.include({ outcome: 'malformed' });
    const [trusted] = await copiesOf(first.original);
    expect(trusted).to.deep.include({
      status: 'Approved',
      vendor_data: Buffer.from('Ada, "the first"'),
    });
    const [reviewed] = await copiesOf(second.original);
    expect(reviewed).to.include({ status: 'In Review', vendor_data: null });
  });

  it('takes a name in capitals for that of CSV', async () => {
    const { line } = await wanted();
    const file = await fileOf('EXPORT.CSV', [
      'share_token,workflow_id',
      Object.values(line).join(','),
    ]);
    expect(counted(await importing(file))).to.deep.equal({ ...nothing, imported: 1 });
  });

  it('takes lines of CSV for what they are, however each of them ends', async () => {
    const lines = [await wanted('Ada'), await wanted('Bea'), await wanted('Cyd')];
    const rows = lines.map(({ line }) => Object.values(line).join(','));
    const header = 'share_token,workflow_id,vendor_data';
    for (const [name, ends] of Object.entries({
      'windows first.csv': ['\r\n', '\n', '\r'],
      'unix first.csv': ['\n', '\r', '\r\n'],
    })) {
      const file = await fileOf(name, []);
      const texts = [header, ...rows].map((text, index) => text + (ends[index] ?? ''));
      await writeFile(file, texts.join(''));
      expect(counted(await importing(file))).to.deep.equal({ ...nothing, imported: 3 });
      expect(Object.keys(await resultsOf(file))).to.have.members(['2', '3', '4']);
    }
    for (const { original, line } of lines) {
      expect((await copiesOf(original))[0]?.['vendor_data']).to.deep.equal(
        Buffer.from(line.vendor_data ?? ''),
      );
    }
  });

  it('guesses nothing of CSV that is ambiguous, and says no token of it', async () => {
    const { line, original } = await wanted('Ada');
    const row = Object.values(line).join(',');
    const header = 'share_token,workflow_id,vendor_data';
    const misfits = await fileOf('misfits.csv', [
      `${header},trust_review`,
      row,
      `${row},true, Inc`,
    ]);
    expect(counted(await importing(misfits))).to.deep.equal({ ...nothing, malformed: 2 });
    const token = line.share_token;
    for (const [name, texts, problem] of [
      ['twice.csv', [`${header},vendor_data`, `${row},Bea`], 'names a column twice'],
      ['inside.csv', [header, `${token}"${row}`], 'Invalid Opening Quote at line 2'],
      ['behind.csv', [header, `"${token}"${row}`], 'Invalid Closing Quote at line 2'],
      ['open.csv', [header, `"${row}`], 'Quote Not Closed at line 2'],
    ] as const) {
      const { exitCode, errors } = await importing(await fileOf(name, texts));
      expect(exitCode).to.equal(1);
      expect(errors).to.include(problem).and.not.to.include(token.slice(0, 20));
    }
    expect(await copiesOf(original)).to.deep.equal([]);
  });

  it('does nothing twice when it is run again, and tries again what was not imported', async () => {
    const [good, other] = [await wanted(), await wanted()];
    const wrong = { ...other.line, workflow_id: target.workflows.business };
    const file = await fileOf('again.jsonl', [good.line, wrong]);
    expect(counted(await importing(file))).to.deep.equal({ ...nothing, imported: 1, refused: 1 });
    const before = await resultsOf(file);
    expect(before[2]).to.include({ reason: 'WORKFLOW_KIND_MISMATCH' });

    await fileOf('again.jsonl', [good.line, other.line]);
    const ended = await importing(file);
    expect(counted(ended)).to.deep.equal({ ...nothing, imported: 1, imported_before: 1 });
    expect(ended.exitCode).to.equal(0);
    const results = await resultsOf(file);
    expect(results[1]).to.deep.equal(before[1]);
    expect(results[2]).to.include({ outcome: 'imported' });

    // Without the results, the service itself knows what was done.
    await rm(`${file}.results`);
    expect(counted(await importing(file))).to.deep.equal({ ...nothing, imported: 2 });
    expect((await resultsOf(file))[1]).to.deep.equal(before[1]);
    for (const { original } of [good, other]) expect(await copiesOf(original)).to.have.length(1);
  });

  it('goes on after a run that was killed in the middle of a result', async () => {
    const [done, half] = [await wanted(), await wanted()];
    const file = await fileOf('killed.jsonl', [done.line, half.line]);
    await importing(file);
    const text = await readFile(`${file}.results`, 'utf8');
    await writeFile(`${file}.results`, text.slice(0, -20));
    const ended = await importing(file);
    expect(counted(ended)).to.deep.equal({ ...nothing, imported: 1, imported_before: 1 });
    expect(Object.keys(await resultsOf(file))).to.have.members(['1', '2']);
  });

  it('touches no file that is none of its own', async () => {
    const { line, original } = await wanted();
    const file = await fileOf('other.jsonl', [line]);
    for (const content of ['precious', 'precious\nand more\n', '{"outcome":"imported"}\n']) {
      await writeFile(`${file}.results`, content);
      const ended = await importing(file);
      expect(ended.exitCode).to.equal(1);
      expect(ended.errors).to.include('holds something else than results');
      expect(await readFile(`${file}.results`, 'utf8')).to.equal(content);
    }
    // Like /dev/null, a named pipe is not a regular file.
    const device = path.join(folder, 'device');
    execFileSync('mkfifo', [device]);
    for (const none of [device, folder]) {
      expect((await importing(file, '--results', none)).errors).to.include('is no file');
    }
    expect(await copiesOf(original)).to.deep.equal([]);
  });

  it('writes its results where a link leads, with the rights that the file has, and over no other', async () => {
    const { line } = await wanted();
    const file = await fileOf('linked.new', [line]);
    const [link, real] = [path.join(folder, 'linked'), path.join(folder, 'real')];
    await writeFile(real, '', { mode: 0o600 });
    await symlink(real, link);
    const ended = await importing(file, '--results', link);
    expect(counted(ended)).to.deep.equal({ ...nothing, imported: 1 });
    expect(await readFile(real, 'utf8')).to.include('"imported"');
    expect((await stat(real)).mode & 0o777).to.equal(0o600);
    expect((await lstat(link)).isSymbolicLink()).to.equal(true);
    expect(await readFile(file, 'utf8')).to.include(line.share_token);
  });

  it('stops when its results are gone, or another run has begun to write them', async () => {
    const lines = [await wanted(), await wanted()];
    const file = await fileOf(
      'gone.jsonl',
      lines.map(({ line }) => line),
    );
    const results = `${file}.results`;
    const changes = [
      () => rm(results).then(() => []),
      () => Results.open(results).then((other) => [other]),
    ];
    for (const change of changes) {
      const others: Results[] = [];
      // Not at a statement of the service's own.
      harness.proxy.intercept = async ({ sql }) => {
        if (!sql.includes('session_imports')) return;
        harness.proxy.intercept = undefined;
        others.push(...(await change()));
      };
      const ended = await importing(file);
      for (const other of others) await other.close();
      expect(ended.exitCode).to.equal(1);
      expect(ended.errors).to.include('was deleted, or another run');
      expect(counted(ended)).to.deep.equal(nothing);
    }
    expect(counted(await importing(file))).to.deep.equal({ ...nothing, imported: 2 });
    for (const { original } of lines) expect(await copiesOf(original)).to.have.length(1);
  });

  it('takes texts as they are, and no file that is not in UTF-8', async () => {
    const odd = await wanted('a\u2028b');
    const file = await fileOf('odd.jsonl', [JSON.stringify(odd.line)]);
    expect(counted(await importing(file))).to.deep.equal({ ...nothing, imported: 1 });
    expect((await copiesOf(odd.original))[0]?.['vendor_data']).to.deep.equal(
      Buffer.from('a\u2028b'),
    );
    const other = await wanted('é');
    for (const name of ['latin1.jsonl', 'latin1.csv']) {
      const texts = name.endsWith('.csv')
        ? ['share_token,workflow_id,vendor_data', Object.values(other.line).join(',')]
        : [other.line];
      const latin = await fileOf(name, texts);
      await writeFile(latin, await readFile(latin, 'utf8'), 'latin1');
      expect((await importing(latin)).errors).to.include('not in UTF-8');
    }
    expect(await copiesOf(other.original)).to.deep.equal([]);
  });

  it('takes no text with half a character, which would be imported as another one', async () => {
    const { line, original } = await wanted('a\ud800b');
    const file = await fileOf('half.jsonl', [line]);
    expect(counted(await importing(file))).to.deep.equal({ ...nothing, malformed: 1 });
    expect(await copiesOf(original)).to.deep.equal([]);
  });

  it('takes no answer for an import that another service gives', async () => {
    const { line } = await wanted();
    const file = await fileOf('stranger.jsonl', [line, line]);
    const answers: Record<string, Partial<ServiceError> | null> = {
      'not that of Session Import': null,
      'no such method': { code: status.UNIMPLEMENTED, details: 'no such method' },
      'who are you': { code: status.UNAUTHENTICATED, details: 'who are you' },
    };
    for (const [problem, error] of Object.entries(answers)) {
      const stranger = new Server();
      stranger.addService(
        { importSession: SessionImportService.importSession },
        {
          importSession: (_: unknown, answer: sendUnaryData<unknown>) => {
            answer(error, ImportSessionResponse.fromPartial({}));
          },
        },
      );
      const listen = promisify(stranger.bindAsync.bind(stranger));
      const port = await listen('127.0.0.1:0', ServerCredentials.createInsecure());
      const ended = await importing(file, '--address', `127.0.0.1:${port}`);
      stranger.forceShutdown();
      expect(ended.exitCode).to.equal(1);
      expect(ended.errors).to.include(problem);
      expect(await readFile(`${file}.results`, 'utf8')).to.equal('');
    }
  });

  it('takes equal lines for one import, and another line for the same session for another', async () => {
    const { original, line } = await wanted('Ada');
    const file = await fileOf('equal.jsonl', [line, line, { ...line, vendor_data: 'Bea' }]);
    const ended = await importing(file, '--concurrency', '1');
    expect(counted(ended)).to.deep.equal({ ...nothing, imported: 2, refused: 1 });
    const results = await resultsOf(file);
    expect(results[1]?.['session_id']).to.equal(results[2]?.['session_id']);
    expect(results[3]).to.include({
      reason: 'SESSION_ALREADY_IMPORTED',
      session_id: results[1]?.['session_id'],
      shared_from_session: original,
    });
    expect(await copiesOf(original)).to.have.length(1);
  });

  it('calls again when an import failed for a reason that passes', async () => {
    const lines = [await wanted(), await wanted(), await wanted()];
    const file = await fileOf(
      'away.jsonl',
      lines.map(({ line }) => line),
    );
    // More often than the service tries by itself.
    let cuts = 0;
    harness.proxy.intercept = (statement) => {
      if (statement.sql.startsWith('BEGIN') && cuts++ < 8) statement.cut();
      return undefined;
    };
    const ended = await importing(file);
    harness.proxy.intercept = undefined;
    expect(counted(ended)).to.deep.equal({ ...nothing, imported: 3 });
    expect(cuts).to.be.greaterThan(8);
    // One line of output, although three lines of the file have waited.
    const { waiting, why } = JSON.parse(ended.errors) as Result;
    expect(waiting).to.equal('DATABASE_UNAVAILABLE');
    expect(why).to.include('The database is out of reach');
    for (const { original } of lines) expect(await copiesOf(original)).to.have.length(1);
  });

  it('says which lines are malformed, and imports the others', async () => {
    const { line } = await wanted();
    const bad = [
      '{"share_token"',
      '[]',
      { ...line, share_token: '' },
      { ...line, workflow_id: 'onboarding' },
      { ...line, trust_review: 'yes' },
      { ...line, surname: 'Lovelace' },
      { workflow_id: line.workflow_id },
      // More than gRPC takes: it would look like an overloaded service.
      { ...line, vendor_data: 'x'.repeat(70_000) },
    ];
    const file = await fileOf('bad.jsonl', [...bad, '', line]);
    expect(counted(await importing(file))).to.deep.equal({
      ...nothing,
      imported: 1,
      malformed: bad.length,
    });
    const results = await resultsOf(file);
    for (const number of bad.keys()) {
      expect(results[number + 1]).to.include({ outcome: 'malformed', request_id: null });
    }
    expect(results[4]).to.include({ message: 'workflow_id must be a UUID' });
    expect(results[5]).to.include({ message: 'trust_review must be true or false' });
    expect(results[10]).to.include({ outcome: 'imported' });
  });

  it('does not go on when it is the caller who is refused, or the file is none', async () => {
    const { line, original } = await wanted();
    const file = await fileOf('refused.jsonl', [line, line]);
    const call = ['import-file', file, '--address', address(), '--plaintext'];
    const refused = await run(call, { API_KEY: 'sik_wrong' });
    expect(refused.exitCode).to.equal(1);
    expect(refused.errors).to.include('API key');
    for (const key of ['', 'sik_pasted\u200b', 'sik_two lines\n']) {
      const { errors } = await run(call, { API_KEY: key });
      expect(errors).to.include('API_KEY must be set').and.not.to.include('sik_');
    }
    const columns = await importing(await fileOf('none.csv', ['token,workflow', 'a,b']));
    expect(columns.exitCode).to.equal(1);
    expect(columns.errors).to.include('does not name share_token and workflow_id');
    const missing = await importing(path.join(folder, 'missing.csv'));
    expect(missing).to.include({ exitCode: 1 });
    expect((await importing(file, '--results', file)).errors).to.include('another file');
    expect(await copiesOf(original)).to.deep.equal([]);
  });

  it('shows its certificate to a service that wants one', async () => {
    const secure = await startWithMutualTls();
    const { db, source, target: importer, signer, server } = secure.harness;
    const original = await createSession(db, source, 'business');
    const file = await fileOf('tls.jsonl', [
      {
        share_token: await signer.share(source, importer, 'business', original),
        workflow_id: importer.workflows.business,
      },
    ]);
    const call = ['import-file', file, '--address', `127.0.0.1:${server.port}`, '--json'];
    const ended = await run([...call, ...secure.options], { API_KEY: importer.apiKey });
    expect(counted(ended)).to.deep.equal({ ...nothing, imported: 1 });
    await secure.stop();
  });

  it('does not wait for a service that speaks no TLS', async () => {
    const { line, original } = await wanted();
    const file = await fileOf('plain.jsonl', [line, line]);
    const call = ['import-file', file, '--address', address(), '--json'];
    const ended = await run(call, { API_KEY: target.apiKey });
    expect(ended.exitCode).to.equal(1);
    expect(ended.errors).to.include('does not speak TLS').and.not.to.include('waiting');
    expect(await copiesOf(original)).to.deep.equal([]);
  });

  it('writes no token, key or URL anywhere', async () => {
    const [good, bad] = [await wanted(), await wanted()];
    const file = await fileOf('secret.jsonl', [good.line, { ...bad.line, workflow_id: 'x' }]);
    const { printed, errors } = await importing(file);
    const written = printed + errors + (await readFile(`${file}.results`, 'utf8'));
    for (const { line } of [good, bad]) {
      for (const part of line.share_token.split('.')) expect(written).not.to.include(part);
    }
    expect(written).not.to.include(target.apiKey).and.not.to.include('https://');
  });
});
