import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import path from 'node:path';
import { expect } from 'chai';
import type { Database } from '../../src/db/database';
import { pendingMigrations } from '../../src/db/migrations';
import { migrateDown, migrateUp } from '../../src/db/migrate';
import { read, select } from '../../src/db/query';
import { createApplication } from '../../src/store/accounts';
import { createEmptyDatabase, createMigratedDatabase, databaseUrl, open } from '../support/mysql';
import { MysqlProxy } from '../support/mysql-proxy';
import {
  harmlessSettings,
  hostileSettings,
  schemaSettings,
  whileSet,
} from '../support/server-settings';

const root = path.join(__dirname, '..', '..');
const run = promisify(execFile);

/** Whether a change is of a table that may be large by then, and in use. */
function mustNotCopy(migration: string, sql: string): boolean {
  if (migration.startsWith('013')) return sql.startsWith('ALTER TABLE session_imports');
  if (Number(migration.slice(0, 3)) >= 20) return sql.startsWith('ALTER TABLE');
  return /^ALTER TABLE \w+_sessions\s+ADD (KEY|COLUMN)/.test(sql);
}

describe('the migrations', () => {
  let url: string;
  let db: Database;
  /** The schema that they end with: that of the database that all tests share. */
  let whole: string;
  before(async () => {
    const migrated = open(databaseUrl());
    whole = await schemaOf(migrated);
    await migrated.destroy();
  });
  beforeEach(async () => {
    url = await createEmptyDatabase();
    db = open(url);
  });
  afterEach(() => db.destroy());

  it('go down one by one to what was there before, and up again to the same schema', async () => {
    let changes: string[] = [];
    db.on('query', ({ sql }: { sql: string }) => changes.push(sql));
    /** How many tables were changed as a running service needs it. */
    let inPlace = 0;
    let before = '';
    for (;;) {
      changes = [];
      const [, [name]] = (await db.migrate.up()) as [number, string[]];
      if (name === undefined) break;
      const made = changes.filter((sql) => mustNotCopy(name, sql));
      const after = await schemaOf(db);
      await db.migrate.down();
      expect(await schemaOf(db), `down of ${name}`).to.equal(before);
      // The server refuses what it can't do without copying the table, or keeping others from writing.
      for (const sql of made) await db.raw(`${sql}, ALGORITHM = INPLACE, LOCK = NONE`);
      inPlace += made.length;
      // It leaves out what was just made.
      await db.migrate.up();
      expect(await schemaOf(db), `up of ${name}`).to.equal(after);
      before = after;
    }
    expect(before).to.equal(whole);
    expect(inPlace).to.be.at.least(16);
  });

  it('can be run again wherever they stopped, up and down, and end with the same schema', async () => {
    const proxy = await MysqlProxy.open(url);
    const stopped = open(proxy.url);
    const done = new Set<string>();
    // Each change is made once, and its connection is lost before the answer comes.
    proxy.intercept = async (statement) => {
      const { sql } = statement;
      if (!/^(create|alter|drop) table|^(insert into|delete from) `knex/i.test(sql)) return;
      const change = `${sql.slice(0, 6)} ${/'\d[\w-]+'/.exec(sql)?.[0] ?? sql}`;
      if (done.has(change)) return;
      done.add(change);
      await statement.answered();
      statement.cut();
    };
    // A try that ends for another reason makes no change, and ends the loop.
    let before: number;
    do {
      before = done.size;
      await migrateUp(stopped).catch(() => undefined);
    } while (done.size > before);
    expect(done.size).to.be.greaterThan(60);
    expect(await schemaOf(stopped)).to.equal(whole);
    // Of those that are taken back, the newest: all of them would take long.
    while ((await pendingMigrations(db)).length < 4)
      await migrateDown(stopped).catch(() => undefined);
    expect(done.size - before).to.be.at.least(12);
    proxy.intercept = undefined;
    await migrateUp(stopped);
    expect(await schemaOf(stopped)).to.equal(whole);
    await stopped.destroy();
    proxy.close();
  });

  it('go on from what the version before has left half done', async () => {
    await db.migrate.up({ name: '001-create-applications' });
    await db.migrate.up({ name: '002-create-workflows' });
    // Where the server's default is COMPACT, its longest key can not be added.
    await db.raw(
      `CREATE TABLE vendor_users (
         id BINARY(16) PRIMARY KEY, application_id BINARY(16) NOT NULL,
         vendor_data VARBINARY(1020) NOT NULL, created_at DATETIME(6) NOT NULL,
         CONSTRAINT vendor_users_application_id_foreign
           FOREIGN KEY (application_id) REFERENCES applications (id))
       DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = COMPACT`,
    );
    await migrateUp(db);
    expect(await schemaOf(db)).to.equal(whole);
  });

  it('touch no table that has rows, though nothing says where it comes from', async () => {
    await db.migrate.up();
    await createApplication(db, 'somebody');
    await db('knex_migrations').delete();
    const error: unknown = await migrateUp(db).catch((reason: unknown) => reason);
    expect(error)
      .to.have.property('message')
      .that.includes('applications already, and it has rows');
  });

  it('are run by one process at a time', async () => {
    const proxy = await MysqlProxy.open(url);
    const held = proxy.holdBack(/^create table/);
    const slow = open(proxy.url);
    const first = migrateUp(slow).catch((reason: unknown) => reason);
    await held.came;
    const error: unknown = await migrateUp(db).catch((reason: unknown) => reason);
    expect(error).to.have.property('message', 'another migrate is at work on this database');
    // The first one has shown enough.
    proxy.close();
    expect(await first).to.be.instanceOf(Error);
    await slow.destroy();
  });

  it('make the same schema on a server that is set for others', async function () {
    if (process.env['DATABASE_URL']) this.skip();
    const address = await createEmptyDatabase('latin1');
    const there = open(address);
    await whileSet({ ...hostileSettings, ...harmlessSettings, ...schemaSettings }, () =>
      migrateUp(there),
    );
    await there.destroy();
    // In a new session, in which the settings do not change how a schema is shown.
    const seen = open(address);
    expect(await schemaOf(seen)).to.equal(whole);
    expect(await enginesOf(seen)).to.deep.equal(['InnoDB']);
    await seen.destroy();
  });

  it('leave an older program a ledger that it can live with, of sessions that came along too', async () => {
    await db.destroy();
    db = open(await createMigratedDatabase());
    const id = (byte: number) => Buffer.alloc(16, byte);
    const entry = (byte: number) => ({
      application_id: id(1),
      source_session_id: id(byte),
      source_application_id: id(2),
      session_kind: 'user',
      source_status: 'Approved',
      session_id: id(byte + 100),
      trust_review: false,
      api_key_id: id(3),
      created_at: new Date(),
    });
    const linked = { linked_to_session_id: id(4) };
    await db('session_imports').insert([
      { ...entry(10), ...linked },
      { ...entry(11), ...linked },
    ]);
    // The migration that let them be, and those that came after it.
    for (let done = await newest(); done >= '013'; done = await newest()) await db.migrate.down();
    const digests = await read(
      db,
      select<{ token_digest: Buffer }>(
        'SELECT token_digest FROM session_imports ORDER BY source_session_id',
        [],
      ),
    );
    expect(digests.map(({ token_digest: digest }) => digest)).to.deep.equal(
      [10, 11].map((byte) => Buffer.concat([id(byte), Buffer.alloc(16)])),
    );
    const old = { ...entry(10), session_id: id(9), token_digest: Buffer.alloc(32, 5) };
    expect(await refusal(old)).to.equal('ER_DUP_ENTRY');
    expect(await refusal({ ...entry(12), token_digest: null })).to.equal('ER_BAD_NULL_ERROR');
    await db.migrate.latest();
    await db('session_imports').insert({ ...entry(12), ...linked });
  });

  async function newest(): Promise<string> {
    const [row] = await read(
      db,
      select<{ name: string }>('SELECT name FROM knex_migrations ORDER BY id DESC LIMIT 1', []),
    );
    return row?.name ?? '';
  }

  async function refusal(entry: object): Promise<unknown> {
    return db('session_imports')
      .insert(entry)
      .then(
        () => undefined,
        (error: unknown) => (error as { code: unknown }).code,
      );
  }

  it('run with the plain knex command, and agree with those of the program', async () => {
    const knex = (...args: string[]) =>
      run(path.join(root, 'node_modules', '.bin', 'knex'), args, {
        cwd: root,
        env: { PATH: process.env['PATH'], DATABASE_URL: url },
      });
    expect((await knex('migrate:up')).stdout).to.match(
      /Batch 1 ran the following migrations:\s+001-/,
    );
    expect((await knex('migrate:rollback')).stdout).to.match(/Batch 1 rolled back: 1 migrations/);
    expect(await schemaOf(db)).to.equal('');
    await db.migrate.latest();
    expect((await knex('migrate:latest')).stdout).to.include('Already up to date');
  });

  it('give every relation the key that makes a copy a range read and a range write', async () => {
    const migrated = open(databaseUrl());
    const keys = await read(
      migrated,
      select<{ name: string; columns: string }>(
        `SELECT TABLE_NAME AS name, GROUP_CONCAT(COLUMN_NAME ORDER BY SEQ_IN_INDEX) AS columns
       FROM information_schema.STATISTICS
       WHERE TABLE_SCHEMA = DATABASE() AND INDEX_NAME = 'PRIMARY'
         AND TABLE_NAME REGEXP '^(user|business)_' AND TABLE_NAME NOT LIKE '%\\_sessions'
       GROUP BY TABLE_NAME`,
        [],
      ),
    );
    await migrated.destroy();
    expect(keys.length).to.equal(27);
    for (const { name, columns } of keys) {
      expect(columns, name).to.match(/^session_id,((screening|check)_ordinal,)?ordinal$/);
    }
  });
});

/** The storage engines of all tables, with Knex's own. */
async function enginesOf(db: Database): Promise<string[]> {
  const found = await read(
    db,
    select<{ engine: string }>(
      'SELECT DISTINCT ENGINE AS engine FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()',
      [],
    ),
  );
  return found.map(({ engine }) => engine);
}

/** Every table of the schema as the server would create it, less Knex's own. */
async function schemaOf(db: Database): Promise<string> {
  const tables = await read(
    db,
    select<{ name: string }>(
      `SELECT TABLE_NAME AS name FROM information_schema.TABLES
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME NOT LIKE 'knex\\_%' ORDER BY TABLE_NAME`,
      [],
    ),
  );
  const statements: string[] = [];
  for (const { name } of tables) {
    const [row] = await read(
      db,
      select<{ 'Create Table': string }>('SHOW CREATE TABLE ??', [name]),
    );
    // How far a table has counted is not part of its schema.
    const table = (row?.['Create Table'] ?? '').replace(/ AUTO_INCREMENT=\d+/, '');
    statements.push(withKeysInOrder(table));
  }
  return statements.join(';\n');
}

/** A table's indexes by name: one that was taken away and given back stands behind the others. */
function withKeysInOrder(table: string): string {
  const lines = table.split('\n').map((line) => line.replace(/,$/, ''));
  const isKey = (line: string): boolean => /^ +(UNIQUE )?KEY /.test(line);
  const keys = lines.filter(isKey).sort();
  return lines.map((line) => (isKey(line) ? (keys.shift() ?? '') : line)).join('\n');
}
