import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { newId, toBinary, type ShareTokenId } from '../../src/model/ids';
import { GetSessionRequest, SessionReadService } from '../../src/gen/sessionimport/v1/session_read';
import {
  ListShareTokensRequest,
  SessionShareService,
  ShareSessionRequest,
} from '../../src/gen/sessionimport/v1/session_share';
import {
  GetProvenanceRequest,
  ListImportsRequest,
  SessionTraceService,
} from '../../src/gen/sessionimport/v1/session_trace';
import { failureOf, sessionOf } from '../support/client';
import { run } from '../support/command';
import { withClockAhead } from '../support/clock';
import { erase, retain } from '../support/erasure';
import { addLogs, createSession, createSessions } from '../support/fixtures';
import { eventually } from '../support/helpers';
import { open, serviceUrl } from '../support/mysql';
import { ServiceProcess } from '../support/process';
import { startPruneHarness, type PruneHarness } from '../support/pruning';

const day = 86_400_000;

describe('session-import prune', () => {
  let harness: PruneHarness;
  let folder: string;
  before(async function () {
    this.timeout(120_000);
    harness = await startPruneHarness();
    folder = await mkdtemp(path.join(tmpdir(), 'session-import-prune-'));
  });
  after(async () => {
    await harness.stop();
    await rm(folder, { recursive: true });
  });

  const command = (...args: string[]) =>
    run([...args, '--json'], { DATABASE_URL: harness.jobUrl, NODE_ENV: 'production' });

  /** Runs `prune`, and returns its summary. */
  const prune = async (...args: string[]): Promise<Record<string, unknown>> => {
    const { exitCode, printed, errors } = await command('prune', '--pause', '0', ...args);
    expect(errors).to.equal('');
    expect(exitCode).to.equal(0);
    return JSON.parse(printed) as Record<string, unknown>;
  };

  const importBy = async (sessionId: string, more: object = {}) => {
    const { client, source, target } = harness;
    const request = { sessionId, forApplicationId: target.applicationId };
    const { shareToken, details } = await client.call(
      SessionShareService.shareSession,
      source.apiKey,
      ShareSessionRequest.fromPartial(request),
    );
    const workflowId = target.workflows.user;
    const answer = await client.import(target.apiKey, { shareToken, workflowId, ...more });
    return { copy: sessionOf(answer).sessionId, tokenId: details?.shareTokenId as ShareTokenId };
  };

  it('does what a dry run has counted, and then nothing more', async () => {
    const { db, source, target, client } = harness;
    for (const id of await createSessions(db, source, 'user', 3)) {
      await addLogs(db, 'user', id, 4);
      await erase(harness, source, id);
    }
    for (let refusals = 0; refusals < 3; refusals++) {
      await failureOf(client.import(target.apiKey, { shareToken: 'no token' }));
    }
    const original = await createSession(db, source, 'user');
    const { tokenId } = await importBy(original, { requestId: newId() });
    const old = new Date(Date.now() - 10 * day);
    await db('import_refusals').update({ created_at: old });
    await db('session_imports').whereNotNull('answer').update({ created_at: old });
    await db('share_tokens')
      .where({ id: toBinary(tokenId) })
      .update({
        id: Buffer.concat([Buffer.alloc(6), toBinary(tokenId).subarray(6)]),
        expires_at: old,
      });

    const none = await prune('--dry-run');
    expect(none).to.include({ refused_imports: 0, share_tokens: 0, answers: 0 });
    const options = ['--refused-imports', '9', '--share-tokens', '9', '--answers', '9'];
    const {
      dry_run: dry,
      waiting,
      oldest_waiting: oldest,
      ...counted
    } = await prune('--dry-run', ...options);
    expect(dry).to.equal(true);
    expect(waiting).to.equal(3);
    expect(new Date(String(oldest)).getTime()).to.be.at.most(Date.now());
    expect(counted).to.deep.equal({
      retention_over: 0,
      sessions: 3,
      rows: 12,
      refused_imports: 3,
      share_tokens: 1,
      answers: 1,
      events: 0,
      stopped: false,
    });
    expect(await prune(...options)).to.deep.equal({
      ...counted,
      waiting: 0,
      oldest_waiting: null,
    });
    const again = await prune(...options);
    for (const name of ['sessions', 'rows', 'refused_imports', 'share_tokens', 'answers']) {
      expect(again[name], name).to.equal(0);
    }
  });

  it('leaves the ledger what it needs without its old records', async () => {
    const { db, source, target, client } = harness;
    const original = await createSession(db, source, 'user');
    const request = { requestId: newId() };
    const { copy, tokenId } = await importBy(original, request);
    await db('session_imports').update({ created_at: new Date(Date.now() - 2 * day) });
    await db('share_tokens')
      .where({ id: toBinary(tokenId) })
      .delete();
    await prune('--answers', '1');

    const { imports } = await client.call(
      SessionTraceService.listImports,
      target.apiKey,
      ListImportsRequest.fromPartial({}),
    );
    expect(imports.find(({ sessionId }) => sessionId === copy)?.shareTokenId).to.equal(tokenId);
    const { steps } = await client.call(
      SessionTraceService.getProvenance,
      target.apiKey,
      GetProvenanceRequest.fromPartial({ sessionId: copy }),
    );
    expect(steps).to.have.length(1);
    const { shareTokens } = await client.call(
      SessionShareService.listShareTokens,
      source.apiKey,
      ListShareTokensRequest.fromPartial({ sessionId: original }),
    );
    expect(shareTokens).to.deep.equal([]);
    expect(await failureOf(importBy(original, request))).to.include({
      reason: 'SESSION_ALREADY_IMPORTED',
    });
  });

  it('keeps share tokens that are younger, or still valid', async () => {
    const { db, source } = harness;
    await importBy(await createSession(db, source, 'user'));
    const before = await db('share_tokens').select('id');
    expect(await prune('--share-tokens', '1')).to.include({ share_tokens: 0 });
    expect(await db('share_tokens').select('id')).to.deep.equal(before);
  });

  it('erases again after a restore what a file has recorded, whatever came back with the backup', async () => {
    const { db, source, client } = harness;
    const file = path.join(folder, 'erasures.jsonl');
    const erased = await createSessions(db, source, 'user', 2);
    const [first = newId(), second = newId()] = erased;
    const backup = (await db('user_sessions').whereIn('id', erased.map(toBinary))) as {
      id: Buffer;
    }[];
    const texts = ['features', 'expected_details', 'contact_details', 'metadata'];
    const { erasedAt } = await erase(harness, source, first);
    await erase(harness, source, second);
    expect(await prune('--record', file)).to.include({ sessions: 2 });
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
    expect(lines.map((line) => Object.keys(JSON.parse(line) as object))).to.deep.equal(
      erased.map(() => ['session_id', 'application_id', 'session_kind', 'erased_at']),
    );

    // The backup is older than both sessions' erasures, and than the second session itself.
    await db('session_erasures').whereIn('session_id', erased.map(toBinary)).delete();
    const restored = backup
      .filter(({ id }) => id.equals(toBinary(first)))
      .map((row) =>
        Object.fromEntries(
          Object.entries(row).map(([name, value]) => [
            name,
            texts.includes(name) ? JSON.stringify(value) : value,
          ]),
        ),
      );
    await db('user_sessions').insert(restored);
    await addLogs(db, 'user', first, 3);
    await db('session_retention').insert({
      session_id: toBinary(first),
      session_kind: 'user',
      held_since: new Date(),
      set_at: new Date(),
    });
    // A run was killed while it wrote, and the next one went on.
    await appendFile(file, '{"session_id":"01');

    expect(await prune('--replay', file)).to.include({
      replayed: 1,
      replayed_others: 1,
      cut_off: 1,
      sessions: 2,
      rows: 3,
    });
    const get = client.call(
      SessionReadService.getSession,
      source.apiKey,
      GetSessionRequest.fromPartial({ sessionId: first }),
    );
    expect(await failureOf(get)).to.include({ reason: 'SESSION_NOT_FOUND' });
    expect((await erase(harness, source, first)).erasedAt).to.deep.equal(erasedAt);

    await erase(harness, source, await createSession(db, source, 'user'));
    await prune('--record', file);
    const again = await prune('--replay', file);
    expect(again).to.include({ replayed: 0, replayed_others: 3, cut_off: 1 });
  });

  it('does nothing if a line of the file can not be used, and names the line', async () => {
    const { db, source } = harness;
    const file = path.join(folder, 'damaged.jsonl');
    await erase(harness, source, await createSession(db, source, 'user'));
    await writeFile(file, '{}\n');
    const { exitCode, printed, errors } = await command('prune', '--replay', file);
    expect([exitCode, printed]).to.deep.equal([1, '']);
    expect(errors).to.include('so nothing was erased:\n  line 1: session_id must be a text');
    expect(await prune()).to.include({ sessions: 1 });
  });

  it('goes by the clock of the database, and not by that of its own machine', async () => {
    const { db, source } = harness;
    const [over, held, later] = await createSessions(db, source, 'user', 3);
    const [soon, tomorrow] = [1_000, day].map((ahead) => new Date(Date.now() + ahead));
    for (const [id, eraseAfter] of [
      [over, soon],
      [later, tomorrow],
    ] as const) {
      await retain(harness, source, id ?? '', { eraseAfter, hold: undefined });
    }
    const hold = { until: tomorrow, reference: undefined };
    await retain(harness, source, held ?? '', { eraseAfter: undefined, hold });
    await db('session_retention')
      .where({ session_id: toBinary(over ?? newId()) })
      .update({ erase_after: new Date(0) });

    const pruned = await withClockAhead(2 * day, () => prune());
    expect(pruned).to.include({ retention_over: 1 });
    const erased = await withClockAhead(2 * day, () => command('session', 'erase', held ?? ''));
    expect(erased.errors).to.include('is on hold');
    // One whose clock is behind erases what is over all the same.
    await db('session_retention').update({ erase_after: new Date(Date.now() - day) });
    const behind = await withClockAhead(-2 * day, () => prune());
    expect(behind).to.include({ retention_over: 1 });
  });

  it('stops at SIGTERM after the transaction that runs, and goes on when it is run again', async () => {
    const { db, source } = harness;
    for (const id of await createSessions(db, source, 'user', 2)) {
      await erase(harness, source, id);
    }
    const waiting = async () =>
      (await db('session_erasures').whereNull('pruned_at').select('session_id')).length;
    const job = ServiceProcess.run(['prune', '--pause', '60000', '--json'], {
      DATABASE_URL: harness.jobUrl,
    });
    await eventually(async () => (await waiting()) === 1);
    expect(await job.stop()).to.equal(2);
    expect(JSON.parse(job.logLines.join(''))).to.include({
      sessions: 1,
      waiting: 1,
      stopped: true,
    });
    expect(job.errors).to.include('run it again');
    expect(await prune()).to.include({ sessions: 1, waiting: 0, stopped: false });
  });

  it('has a user of its own: the service’s can delete nothing', async () => {
    const db = open(serviceUrl());
    const denied: unknown = await db('user_sessions')
      .where({ id: toBinary(newId()) })
      .delete()
      .catch((error: unknown) => error);
    expect(denied).to.have.property('code', 'ER_TABLEACCESS_DENIED_ERROR');
    await db.destroy();
  });

  it('says what is wrong', async () => {
    const wrong = await command('prune', '--dry-run', '--replay', path.join(folder, 'x'));
    expect(wrong.exitCode).to.equal(1);
    expect(wrong.errors).to.include('can not be used with --dry-run');
    const missing = await command('prune', '--replay', path.join(folder, 'missing'));
    expect(missing.exitCode).to.equal(1);
    expect(missing.errors).to.include('missing');
  });

  describe('session-import session', () => {
    it('erases a session of any application, once', async () => {
      const { db, source } = harness;
      const id = await createSession(db, source, 'business');
      const first = await command('session', 'erase', id);
      expect(JSON.parse(first.printed)).to.include({
        session_id: id,
        application_id: source.applicationId,
        session_kind: 'business',
      });
      expect(await command('session', 'erase', id)).to.deep.equal(first);
      await prune();
      expect(await command('session', 'erase', id)).to.deep.equal(first);
      expect(await command('session', 'retention', id)).to.include({
        exitCode: 1,
        errors: `session-import: there is no session ${id}\n`,
      });
      expect((await command('session', 'erase', newId())).exitCode).to.equal(1);
    });

    it('puts a session on hold, and ends the hold', async () => {
      const { db, source } = harness;
      const id = await createSession(db, source, 'user');
      const held = await command('session', 'retention', id, '--hold', '--reference', 'case/7');
      expect(JSON.parse(held.printed)).to.deep.equal({
        session_id: id,
        erase_after: null,
        hold: true,
        hold_until: null,
        reference: 'case/7',
      });
      const refused = await command('session', 'erase', id);
      expect(refused.exitCode).to.equal(1);
      expect(refused.errors).to.include('is on hold: end the hold with session retention');
      expect(await failureOf(erase(harness, source, id))).to.include({ reason: 'SESSION_ON_HOLD' });
      expect((await command('session', 'retention', id)).exitCode).to.equal(0);
      expect((await command('session', 'erase', id)).exitCode).to.equal(0);
      const past = await command('session', 'retention', id, '--erase-after', '2020-01-01');
      expect(past.errors).to.include('must be in the future');
      const alone = await command('session', 'retention', id, '--reference', 'x');
      expect(alone.errors).to.include('are for --hold');
    });
  });
});
