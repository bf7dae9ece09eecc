import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { readConfig, readLogOptions } from '../../src/config';
import { seedDemo } from '../../src/demo';
import type { SessionId } from '../../src/model/ids';
import type { SessionKind } from '../../src/model/session';
import { SessionImportServer } from '../../src/server';
import { createLogger } from '../../src/telemetry/log';
import { generateSigningKey, signShareToken } from '../../src/token/signing';
import { endings } from '../support/client';
import { createSession } from '../support/fixtures';
import { databaseUrl } from '../support/mysql';
import { ServiceProcess } from '../support/process';
import { builtProgram } from '../support/program';
import { relationRows, sessionRow, type Row } from '../support/rows';
import { startProxiedHarness, type ProxiedHarness } from '../support/service';

describe('the logs', () => {
  let harness: ProxiedHarness;
  before(async () => {
    harness = await startProxiedHarness({ RATE_LIMIT: '10', RATE_LIMIT_BURST: '60' });
  });
  after(() => harness.stop());

  it('have one line per call, with what finds it, what came of it, and how long it took', async () => {
    const { db, source, target, signer, client, logLines } = harness;
    const original = await createSession(db, source, 'business');
    const shareToken = await signer.share(source, target, 'business', original);
    const request = { shareToken, workflowId: target.workflows.business };
    await client.import(target.apiKey, request);
    const lines = logLines.filter((line) => line.includes(client.lastRequestId ?? 'none'));
    expect(lines).to.have.length(1);
    const line = JSON.parse(lines[0] ?? '') as Record<string, unknown>;
    expect(line).to.deep.include({
      level: 'info',
      msg: 'call',
      method: 'ImportSession',
      request_id: client.lastRequestId,
      application_id: target.applicationId,
      session_kind: 'business',
      shared_from_session: original,
      shared_from_application: source.applicationId,
      code: 'OK',
      group_size: 1,
    });
    expect(line).to.include.keys('time', 'api_key_id', 'session_id');
    for (const duration of ['ms', 'queue_ms']) expect(line[duration]).to.be.a('number');
  });

  it('of a full run hold nothing secret and nothing personal of all that went in and out', async () => {
    const { db, client, signer, proxy, logLines, source, target } = harness;
    const seeded = await seedDemo(db);
    const from = { ...source, applicationId: seeded.source.applicationId };
    const { apiKey } = seeded.importing;
    const to = { ...target, applicationId: seeded.importing.applicationId };
    const secrets = new Set([apiKey, target.apiKey]);
    const ids = { user: seeded.source.userSessionId, business: seeded.source.businessSessionId };
    const workflows = {
      user: seeded.importing.userWorkflowId,
      business: seeded.importing.businessWorkflowId,
    };
    const offers: Record<string, unknown>[] = [];
    for (const kind of ['user', 'business'] as const) {
      for (const text of await personal(kind, ids[kind])) secrets.add(text);
      const shareToken = await signer.share(from, to, kind, ids[kind]);
      offers.push({ shareToken, workflowId: workflows[kind], vendorData: 'Ana María Núñez' });
    }
    const forger = await generateSigningKey({
      algorithm: 'ES256',
      kid: 'stolen',
      applicationId: undefined,
    });
    const forged = await signShareToken(forger.privateJwk, {
      sessionId: ids.user,
      kind: 'user',
      fromApplicationId: from.applicationId,
      forApplicationId: to.applicationId,
      lifetime: 60,
    });
    for (const { shareToken } of [...offers, { shareToken: forged }]) {
      for (const part of String(shareToken).split('.')) secrets.add(part);
    }
    for (const jwk of [signer.privateJwk, forger.privateJwk]) secrets.add(String(jwk.d));
    secrets.add('Ana María Núñez').add('sik_made-up').add('not-a-token');

    // Everything that can go wrong, each with the richest request there is.
    const [user, business] = offers as [Record<string, string>, Record<string, string>];
    let faults = 0;
    proxy.intercept = (statement) => {
      if (/^(INSERT|COMMIT)/.test(statement.sql) && faults++ < 12) statement.cut();
    };
    const outcomes = await endings([client.import(apiKey, user)]);
    proxy.intercept = undefined;
    await db.schema.renameTable('business_reviews', 'business_reviews_away');
    outcomes.push(...(await endings([client.import(apiKey, business)])));
    await db.schema.renameTable('business_reviews_away', 'business_reviews');
    outcomes.push(
      ...(await endings([
        client.import(apiKey, business),
        client.import(target.apiKey, user),
        client.import('sik_made-up', user),
        client.import(apiKey, { ...user, shareToken: forged }),
        client.import(apiKey, { ...user, shareToken: 'not-a-token' }),
        client.import(apiKey, { ...user, workflowId: 'Ana María Núñez' }),
      ])),
      ...(await endings([client.import(apiKey, user)])),
      ...(await endings([client.import(apiKey, user)])),
      ...(await endings(Array.from({ length: 80 }, () => client.import(apiKey, user)))),
    );
    expect(new Set(outcomes)).to.include.all.keys(
      'OK',
      'INTERNAL',
      'DATABASE_UNAVAILABLE',
      'API_KEY_INVALID',
      'SHARE_TOKEN_INVALID',
      'SHARE_TOKEN_NOT_FOR_APPLICATION',
      'INVALID_REQUEST',
      'SESSION_ALREADY_IMPORTED',
      'RATE_LIMITED',
    );

    const log = logLines.join('');
    expect(secrets.size).to.be.greaterThan(200);
    expect([...secrets].filter((secret) => log.includes(secret))).to.deep.equal([]);
  });

  it('have no password of the database, also when it is wrong', async () => {
    const url = new URL(databaseUrl());
    url.password = 'hunter2-is-wrong';
    const config = readConfig({
      DATABASE_URL: url.href,
      SHARE_TOKEN_JWKS: harness.signer.jwks,
      SESSION_BASE_URL: 'https://verify.example.com/session',
      GRPC_ADDRESS: '127.0.0.1:0',
      METRICS_ADDRESS: 'off',
    });
    const stopping = new AbortController();
    const lines: string[] = [];
    const write = (line: string): void => {
      lines.push(line);
      if (line.includes('waiting for the database')) stopping.abort();
    };
    const log = createLogger({ level: 'trace', format: 'json' }, { write });
    const { signal } = stopping;
    const end = await SessionImportServer.start(config, log, { signal }).catch(
      (error: unknown) => error,
    );
    expect(end).to.equal(signal.reason);
    const { why, hint } = JSON.parse(lines.at(-1) ?? '') as Record<string, unknown>;
    expect(why).to.equal('ER_ACCESS_DENIED_ERROR');
    expect(hint).to.include('refused the user or the password').and.include('DATABASE_TLS is off');
    expect(lines.join()).not.to.include('hunter2');
  });

  it('do not end the process when the disk behind them is full, in either format', async () => {
    const program = `
      const { createLogger } = require(process.argv[1]);
      for (const format of ['json', 'pretty']) {
        const log = createLogger({ level: 'info', format });
        for (const line of ['lost', 'lost as well']) log.info(line);
      }
      setImmediate(() => process.exit(7));`;
    const script = 'exec "$0" -e "$1" "$2" > /dev/full';
    const writing = ServiceProcess.start(
      ['sh', '-c', script, process.execPath, program, built('log.js')],
      { cwd: process.cwd(), env: {} },
    );
    expect(await writing.ended()).to.equal(7);
    expect(writing.errors).to.equal('');
  });

  it('lose a line that can not be written, and go on with a whole one', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'session-import-log-'));
    const file = path.join(folder, 'log');
    const program = `
      const { Lines } = require(process.argv[1]);
      const { truncateSync } = require('node:fs');
      const log = new Lines(1);
      log.write('a'.repeat(511) + '\\n');
      log.write('lost\\n');
      truncateSync(process.argv[2], 0);
      log.write('c'.repeat(600) + '\\n');
      truncateSync(process.argv[2], 3);
      log.write('d\\n');
      log.write('e\\n');`;
    // The file can have 512 bytes at most.
    const script = 'ulimit -f 1; exec "$0" -e "$1" "$2" "$3" >> "$3"';
    const writing = ServiceProcess.start(
      ['sh', '-c', script, process.execPath, program, built('lines.js'), file],
      { cwd: process.cwd(), env: {} },
    );
    expect(await writing.ended()).to.equal(0);
    expect(await readFile(file, 'utf8')).to.equal('ccc\nd\ne\n');
    await rm(folder, { recursive: true });
  });

  it('are for people where that is asked for', () => {
    const lines: string[] = [];
    const write = (line: string): void => {
      lines.push(line);
    };
    createLogger(readLogOptions({ LOG_FORMAT: 'pretty' }), { write }).info('serving');
    expect(lines.join('')).to.match(/^\[.*\] INFO: serving\n$/);
  });
});

/** A file of the telemetry in the program that was built. */
function built(file: string): string {
  return path.join(path.dirname(builtProgram()), 'telemetry', file);
}

/** What a session says of a person or a company: every text of its rows that is not a mere word of the field. */
async function personal(kind: SessionKind, id: SessionId): Promise<string[]> {
  const rows: Row[] = Object.values(await relationRows(kind, id)).flat();
  const session = await sessionRow(kind, id);
  const values = [...rows, ...(session ? [session] : [])].flatMap((row) => Object.values(row));
  return values.flatMap((value) => textsIn(value)).filter((text) => /[\s@:/.+]|\d{5}/.test(text));
}

/** The texts of a value, also those within JSON. */
function textsIn(value: unknown): string[] {
  if (typeof value === 'string') {
    if (/^[[{"]/.test(value)) return textsIn(JSON.parse(value));
    return value.length >= 5 ? [value] : [];
  }
  if (Buffer.isBuffer(value) || typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap((each) => textsIn(each));
}
