import { execFileSync } from 'node:child_process';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Metadata } from '@grpc/grpc-js';
import { expect } from 'chai';
import { sessionOf, TestClient } from '../support/client';
import { run } from '../support/command';
import { createSession } from '../support/fixtures';
import { databaseUrl } from '../support/mysql';
import { Collector } from '../support/otlp';
import { ServiceProcess } from '../support/process';
import { builtProgram } from '../support/program';
import { startHarness, writingNothing, type Harness } from '../support/service';

describe('a program whose input or output fails', () => {
  let harness: Harness;
  let folder: string;
  before(async () => {
    harness = await startHarness();
    folder = await mkdtemp(path.join(tmpdir(), 'session-import-outputs-'));
  });
  after(async () => {
    await harness.stop();
    await rm(folder, { recursive: true });
  });

  async function shareToken(): Promise<string> {
    const { db, source, target, signer } = harness;
    return signer.share(source, target, 'user', await createSession(db, source, 'user'));
  }

  /** A line of a file, which imports a new session. */
  const newLine = async (): Promise<string> =>
    JSON.stringify({
      share_token: await shareToken(),
      workflow_id: harness.target.workflows.user,
    });

  const importFile = (file: string): readonly string[] => [
    ...['import-file', file, '--address', `127.0.0.1:${harness.server.port}`],
    ...['--plaintext', '--json'],
  ];

  const nothing = { imported: 0, imported_before: 0, refused: 0, failed: 0, malformed: 0 };

  it('import-file counts nothing whose result does not fit on the disk, and goes on when there is room', async () => {
    const file = path.join(folder, 'full.jsonl');
    await writeFile(file, `${await newLine()}\n${await newLine()}\n`);
    const environment = { API_KEY: harness.target.apiKey };
    const call = [process.execPath, builtProgram(), ...importFile(file)];
    const full = ServiceProcess.start(['bash', '-c', 'ulimit -f 0; exec "$@"', 'bash', ...call], {
      cwd: folder,
      env: { ...process.env, ...environment },
    });
    expect(await full.ended()).to.equal(1);
    expect(JSON.parse(full.logLines.join(''))).to.deep.equal(nothing);
    expect(full.errors).to.include('EFBIG').and.not.to.include('Unhandled');
    const { printed } = await run(importFile(file), environment);
    expect(JSON.parse(printed)).to.deep.equal({ ...nothing, imported: 2 });
    expect((await readFile(`${file}.results`, 'utf8')).trimEnd().split('\n')).to.have.length(2);
  });

  it('import-file ends when it is interrupted while its input says nothing', async () => {
    const pipe = path.join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const writer = await open(pipe, 'r+');
    const reading = ServiceProcess.run(
      importFile(pipe),
      { API_KEY: harness.target.apiKey },
      folder,
    );
    const calls = () => harness.logLines.filter((line) => line.includes('"ImportSession"'));
    const before = calls().length;
    await writer.write(`${await newLine()}\n`);
    await harness.logged(() => calls().length > before);
    reading.signal('SIGINT');
    expect(await reading.ended()).to.equal(1);
    await writer.close();
    expect(JSON.parse(reading.logLines.join(''))).to.deep.equal({ ...nothing, imported: 1 });
    expect(reading.errors).to.include('interrupted');
  });

  it('a command whose output nobody reads fails, and says why', async () => {
    const { db, source } = harness;
    const { applicationId, workflows } = source;
    const session = await createSession(db, source, 'user');
    const keys = ['--out', path.join(folder, 'private'), '--jwks', path.join(folder, 'public')];
    const commands = [
      ['signing-key', 'generate', ...keys],
      ['application', 'create', '--name', 'Unseen'],
      ['api-key', 'create', '--application', applicationId],
      ['workflow', 'update', workflows.user, '--acceptance', 'none'],
      ['session', 'retention', session],
      ['session', 'erase', session, '--json'],
      ['migrate'],
    ];
    for (const command of commands) {
      const unread = ServiceProcess.run(command, { DATABASE_URL: databaseUrl() });
      unread.stopReading();
      const name = command.join(' ');
      expect(await unread.ended(), name).to.equal(1);
      expect(unread.errors, name).to.equal(
        "session-import: the output can't be written: write EPIPE\n",
      );
    }
  });

  it('serve complains if nobody takes its traces, and ends all the same', async () => {
    const refusing = await Collector.open(400);
    const service = await ServiceProcess.serve({
      DATABASE_URL: databaseUrl(),
      SHARE_TOKEN_JWKS: harness.signer.jwks,
      SESSION_BASE_URL: 'https://verify.example.com/session',
      ...writingNothing,
      ...refusing.environment,
    });
    const client = new TestClient(await service.port());
    const traced = new Metadata();
    traced.set('x-api-key', harness.target.apiKey);
    traced.set('traceparent', '00-4bf92f3577b34da6a3ce929d0e0e4731-00f067aa0ba902b7-01');
    const importing = async () =>
      sessionOf(
        await client.send(traced, {
          shareToken: await shareToken(),
          workflowId: harness.target.workflows.user,
        }),
      );
    const complaint = /trouble with traces|last spans were not sent/;
    await importing();
    await service.line((line) => complaint.test(line));
    refusing.close();
    const complaints = service.logLines.length;
    await importing();
    client.close();
    expect(await service.stop(), service.errors).to.equal(0);
    await service.logged('stopped');
    expect(service.errors).to.equal('');
    // Of a collector that is gone.
    expect(service.logLines.slice(complaints).join()).to.match(complaint);
  });
});
