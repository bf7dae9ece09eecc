import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { startMysql, type MysqlServer } from '../../scripts/mysql/server';
import type { Database } from '../../src/db/database';
import { newId, toBinary, type SessionId } from '../../src/model/ids';
import { CertificateAuthority, type Identity } from '../support/certificates';
import { endings, failureOf } from '../support/client';
import { createSession, createSessions, createTenant, type Tenant } from '../support/fixtures';
import { eventually } from '../support/helpers';
import { databaseUrl, open, quick } from '../support/mysql';
import { MysqlProxy } from '../support/mysql-proxy';
import { startHarness, type Harness } from '../support/service';

/**
 * Two servers with the same users and tenants. `first` is the test's own: what is done to it touches nobody
 * else. `second` is the one that all tests share. A proxy leads to one of them, and keeps connections open.
 */
describe('a service whose MySQL', () => {
  let folder: string;
  let urlFile: string;
  let authority: CertificateAuthority;
  let identity: Identity;
  let mysql: MysqlServer;
  let first: Database;
  let second: Database;
  let source: Tenant;
  let target: Tenant;
  let proxy: MysqlProxy;
  let harness: Harness;

  const user = `failover_${process.pid}`;
  const urlFor = (server: string, password = 'first'): string =>
    Object.assign(new URL(server), {
      username: user,
      password,
      pathname: new URL(databaseUrl()).pathname,
    }).href;
  /** An account by its name alone, with which statements about users begin. */
  const account = `'${user}'@'%'`;
  const rights = (): string => `ON ${new URL(databaseUrl()).pathname.slice(1)}.*`;

  before(async function () {
    // What is done to these servers must not be done to somebody else's.
    if (process.env['DATABASE_URL']) this.skip();
    folder = await mkdtemp(path.join(tmpdir(), 'session-import-failover-'));
    urlFile = path.join(folder, 'url');
    authority = await CertificateAuthority.create();
    identity = await authority.issue('mysql', [{ type: 'dns', value: 'localhost' }]);
    mysql = await startMysql({
      mysqldArguments: [
        ...quick,
        `--ssl-ca=${authority.file}`,
        `--ssl-cert=${identity.certificate}`,
        `--ssl-key=${identity.privateKey}`,
      ],
    });
    const admin = open(mysql.url);
    const { pathname } = new URL(databaseUrl());
    await admin.raw('CREATE DATABASE ?? CHARACTER SET utf8mb4 COLLATE utf8mb4_bin', [
      pathname.slice(1),
    ]);
    await admin.destroy();
    first = open(Object.assign(new URL(mysql.url), { pathname }).href);
    await first.migrate.latest();
    second = open(databaseUrl());
    for (const server of [first, second]) {
      await server.raw(`CREATE USER ${account} IDENTIFIED BY 'first'`);
      await server.raw(`GRANT SELECT, INSERT, UPDATE ${rights()} TO ${account}`);
    }
    source = await createTenant(second);
    target = await createTenant(second);
    for (const { applicationId } of [source, target]) {
      for (const table of ['applications', 'workflows', 'api_keys'] as const) {
        const column = table === 'applications' ? 'id' : 'application_id';
        const rows = (await second(table).where(column, toBinary(applicationId))) as object[];
        await first(table).insert(rows.map(asStored));
      }
    }
    // As if it had been replicated: the second server knows which numbers the first one has given out.
    await second('session_counters').insert({
      application_id: toBinary(target.applicationId),
      next_number: 1_000_000,
    });
    proxy = await MysqlProxy.open(urlFor(mysql.url));
  });
  after(async () => {
    if (process.env['DATABASE_URL']) return;
    proxy.close();
    await second.raw(`DROP USER ${account}`);
    await Promise.all([first.destroy(), second.destroy()]);
    await mysql.stop();
    await authority.remove();
    await rm(folder, { recursive: true });
  });
  afterEach(async () => {
    proxy.intercept = undefined;
    await harness.stop();
  });

  /** A service with its fixtures on `first`; connections are made anew all the time. */
  async function start(environment: Readonly<Record<string, string>> = {}): Promise<void> {
    await first.raw(`ALTER USER ${account} IDENTIFIED BY 'first'`);
    await writeFile(urlFile, proxyUrl());
    harness = await startHarness({
      environment: {
        DATABASE_URL: '',
        DATABASE_URL_FILE: urlFile,
        DATABASE_CONNECTION_AGE: '1',
        DATABASE_LOCK_WAIT: '1',
        ...environment,
      },
    });
  }

  const proxyUrl = (password = 'first'): string => urlFor(proxy.url, password);

  const requestFor = async (original: SessionId) => ({
    shareToken: await harness.signer.share(source, target, 'user', original),
    workflowId: target.workflows.user,
  });

  const importOf = async (original: SessionId) =>
    harness.client.import(target.apiKey, await requestFor(original));

  async function isReady(): Promise<boolean> {
    const answer = await fetch(`http://127.0.0.1:${harness.server.metricsPort ?? 0}/readyz`);
    return answer.status === 200;
  }

  /** Waits until the service says that it is not ready, and its log says why. */
  async function notReady(why: RegExp): Promise<void> {
    await harness.logged(() =>
      harness.logLines.some((line) => line.includes('"msg":"not ready"') && why.test(line)),
    );
    expect(await isReady()).to.equal(false);
  }

  /** Sessions to be imported, on both servers. */
  async function sharedSessions(count: number): Promise<SessionId[]> {
    const originals = await createSessions(second, source, 'user', count);
    const rows = (await second('user_sessions').whereIn('id', originals.map(toBinary))) as object[];
    await first('user_sessions').insert(rows.map(asStored));
    return originals;
  }

  /** Imports one session after the other, four at a time, until it is told to stop. Each until it is imported. */
  async function load() {
    const waiting = await sharedSessions(400);
    const told = new Set<string>();
    const imported: SessionId[] = [];
    const work = [1, 2, 3, 4].map(async () => {
      for (let original = waiting.pop(); original; original = waiting.pop()) {
        let ending: string | undefined;
        while (ending !== 'OK') {
          [ending = ''] = await endings([importOf(original)]);
          told.add(ending);
        }
        imported.push(original);
      }
    });
    return {
      told,
      imported,
      /** Waits until some more are imported. */
      async goesOn() {
        const before = imported.length;
        await eventually(() => Promise.resolve(imported.length >= before + 10));
      },
      async stop() {
        waiting.splice(0);
        await Promise.all(work);
      },
    };
  }

  it('was demoted, and lives on, refuses nobody, and follows to the new one', async () => {
    await start({ DATABASE_CONNECTION_AGE: '300' });
    const busy = await load();
    await busy.goesOn();
    try {
      await first.raw('SET GLOBAL super_read_only = ON');
      await notReady(/read-only|ER_OPTION_PREVENTS_STATEMENT/);
      // What the new primary has, and the old one will never have.
      const unknown = await createTenant(second);
      const original = await createSession(second, source, 'user');
      const calls = [
        importOf(original),
        harness.client.import(unknown.apiKey, await requestFor(original)),
      ];
      expect(await endings(calls)).to.deep.equal(['DATABASE_UNAVAILABLE', 'DATABASE_UNAVAILABLE']);
      proxy.leadTo(urlFor(databaseUrl()));
      await eventually(isReady);
      await busy.goesOn();
      expect(await importOf(original)).to.have.property('session');
      await busy.stop();
    } finally {
      proxy.leadTo(urlFor(mysql.url));
      await first.raw('SET GLOBAL super_read_only = OFF, GLOBAL read_only = OFF');
    }
    expect([...busy.told]).to.have.members(['OK', 'DATABASE_UNAVAILABLE']);
    const ids = busy.imported.map(toBinary);
    const entries = await Promise.all(
      [first, second].map(
        async (server) =>
          (await server('session_imports').whereIn('source_session_id', ids)) as object[],
      ),
    );
    expect(entries.flat()).to.have.length(ids.length);
  });

  const run = async (statement: string): Promise<void> => {
    await first.raw(statement);
  };

  interface Fault {
    readonly make: () => Promise<void>;
    readonly mend: () => Promise<void>;
    readonly why: RegExp;
  }

  const faults: Readonly<Record<string, Fault>> = {
    'takes another password': {
      make: () => run(`ALTER USER ${account} IDENTIFIED BY 'another'`),
      mend: () => writeFile(urlFile, proxyUrl('another')),
      why: /ER_ACCESS_DENIED_ERROR/,
    },
    'has locked the account': {
      make: () => run(`ALTER USER ${account} ACCOUNT LOCK`),
      mend: () => run(`ALTER USER ${account} ACCOUNT UNLOCK`),
      why: /ER_ACCOUNT_HAS_BEEN_LOCKED/,
    },
    'has revoked a right': {
      make: () => run(`REVOKE INSERT ${rights()} FROM ${account}`),
      mend: () => run(`GRANT INSERT ${rights()} TO ${account}`),
      why: /ER_TABLEACCESS_DENIED_ERROR/,
    },
    'has no room for more connections': {
      make: () => run('SET GLOBAL max_connections = 1'),
      mend: () => run('SET GLOBAL max_connections = DEFAULT'),
      why: /ER_CON_COUNT_ERROR/,
    },
  };

  for (const [what, { make, mend, why }] of Object.entries(faults)) {
    it(`${what} is not ready, says why, fails no call as INTERNAL, and comes back by itself`, async () => {
      await start();
      const busy = await load();
      await busy.goesOn();
      try {
        await make();
        await notReady(why);
        // Until the connections of before have grown old, what they say is right.
        const known = new Set(['SOURCE_SESSION_NOT_FOUND', 'DATABASE_UNAVAILABLE']);
        await eventually(async () => {
          const [ending = ''] = await endings([importOf(newId())]);
          expect(known).to.include(ending);
          return ending === 'DATABASE_UNAVAILABLE';
        });
      } finally {
        await mend();
      }
      await eventually(isReady);
      await busy.goesOn();
      await busy.stop();
      // Some of these calls may have waited until the database was as before.
      expect(busy.told).to.include('OK');
      expect(['OK', 'DATABASE_UNAVAILABLE']).to.include.members([...busy.told]);
    });
  }

  it('shows a certificate of another CA is found again once the file of CAs has the new one', async () => {
    const caFile = path.join(folder, 'ca.pem');
    await copyFile(authority.file, caFile);
    await start({ DATABASE_TLS: 'verify-ca', DATABASE_TLS_CA: caFile });
    const other = await CertificateAuthority.create();
    try {
      const [original = newId<SessionId>()] = await sharedSessions(1);
      const issued = await other.issue('mysql', [{ type: 'dns', value: 'localhost' }]);
      await copyFile(other.file, authority.file);
      await copyFile(issued.certificate, identity.certificate);
      await copyFile(issued.privateKey, identity.privateKey);
      await first.raw('ALTER INSTANCE RELOAD TLS');
      await notReady(/HANDSHAKE_SSL_ERROR/);
      const failure = await failureOf(importOf(original));
      expect(failure).to.include({ code: 'UNAVAILABLE', reason: 'DATABASE_UNAVAILABLE' });
      await copyFile(other.file, caFile);
      await eventually(isReady);
      expect(await importOf(original)).to.have.property('session');
    } finally {
      await other.remove();
    }
  });

  it('swallows an answer on the way of every worker answers the calls before their callers give up', async () => {
    await start({ DATABASE_SILENCE: '2', IMPORT_WORKERS: '2' });
    const [before = newId<SessionId>(), ...originals] = await sharedSessions(3);
    // It leases session numbers, in a transaction of its own.
    await importOf(before);
    let swallowed = 0;
    proxy.intercept = ({ sql }) => {
      if (!sql.startsWith('BEGIN') || swallowed === 2) return;
      swallowed++;
      return new Promise(() => undefined);
    };
    const calls: Promise<unknown>[] = [];
    for (const original of originals) {
      const begun = proxy.passing('BEGIN');
      calls.push(importOf(original));
      await begun;
    }
    expect(await endings(calls)).to.deep.equal(['OK', 'OK']);
    expect(swallowed).to.equal(2);
  });

  it('swallows every answer to imports is not ready, and is again when it answers', async () => {
    await start({ DATABASE_SILENCE: '2', IMPORT_WORKERS: '1' });
    const [original = newId<SessionId>()] = await sharedSessions(1);
    proxy.intercept = ({ sql }) =>
      sql.startsWith('BEGIN') ? new Promise(() => undefined) : undefined;
    const call = failureOf(importOf(original));
    await notReady(/imports do not end/);
    expect((await call).reason).to.equal('DATABASE_UNAVAILABLE');
    proxy.intercept = undefined;
    await eventually(isReady);
    expect(await importOf(original)).to.have.property('session');
  });
});

/** A row as it goes into another server: JSON as text. */
function asStored(row: object): object {
  return Object.fromEntries(
    Object.entries(row).map(([name, value]: [string, unknown]) => [
      name,
      typeof value === 'object' &&
      value !== null &&
      !Buffer.isBuffer(value) &&
      !(value instanceof Date)
        ? JSON.stringify(value)
        : value,
    ]),
  );
}
