import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import path from 'node:path';
import { expect } from 'chai';
import type { Database } from '../../src/db/connection';
import { read } from '../../src/db/query';
import { createEmptyDatabase, open } from '../support/mysql';

const root = path.join(__dirname, '..', '..');
const run = promisify(execFile);

describe('the migrations', () => {
  let url: string;
  let db: Database;
  beforeEach(async () => {
    url = await createEmptyDatabase();
    db = open(url);
  });
  afterEach(() => db.destroy());

  it('go down one by one to what was there before, and up again to the same schema', async () => {
    const states: string[] = [await schemaOf(db)];
    let steps = 0;
    while (((await db.migrate.up()) as [number, string[]])[1].length > 0) {
      states.push(await schemaOf(db));
      steps++;
    }
    expect(steps).to.be.greaterThan(5);
    for (let step = steps; step > 0; step--) {
      await db.migrate.down();
      expect(await schemaOf(db), `down of migration ${step}`).to.equal(states[step - 1]);
    }
    await db.migrate.latest();
    expect(await schemaOf(db)).to.equal(states[steps]);
  }).timeout(120_000);

  it('run with the plain knex command, and agree with those of the program', async () => {
    const knex = (...args: string[]) =>
      run(path.join(root, 'node_modules', '.bin', 'knex'), args, {
        cwd: root,
        env: { PATH: process.env['PATH'], DATABASE_URL: url },
      });
    expect((await knex('migrate:latest')).stdout).to.match(/Batch 1 run: \d+ migrations/);
    expect(((await db.migrate.latest()) as [number, string[]])[1]).to.deep.equal([]);
    expect((await knex('migrate:rollback')).stdout).to.match(/Batch 1 rolled back: \d+ migrations/);
    expect(await schemaOf(db)).to.equal('');
  }).timeout(120_000);

  it('give every relation the key that makes a copy a range read and a range write', async () => {
    await db.migrate.latest();
    const keys = await read<{ name: string; columns: string }>(
      db,
      `SELECT TABLE_NAME AS name, GROUP_CONCAT(COLUMN_NAME ORDER BY SEQ_IN_INDEX) AS columns
       FROM information_schema.STATISTICS
       WHERE TABLE_SCHEMA = DATABASE() AND INDEX_NAME = 'PRIMARY'
         AND TABLE_NAME REGEXP '^(user|business)_' AND TABLE_NAME NOT LIKE '%\\_sessions'
       GROUP BY TABLE_NAME`,
      [],
    );
    expect(keys.length).to.equal(27);
    for (const { name, columns } of keys) {
      expect(columns, name).to.match(/^session_id,((screening|check)_ordinal,)?ordinal$/);
    }
  });
});

/** Every table of the schema as the server would create it, less Knex's own. */
async function schemaOf(db: Database): Promise<string> {
  const tables = await read<{ name: string }>(
    db,
    `SELECT TABLE_NAME AS name FROM information_schema.TABLES
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME NOT LIKE 'knex\\_%' ORDER BY TABLE_NAME`,
    [],
  );
  const statements: string[] = [];
  for (const { name } of tables) {
    const [row] = await read<{ 'Create Table': string }>(db, 'SHOW CREATE TABLE ??', [name]);
    statements.push(row?.['Create Table'] ?? '');
  }
  return statements.join(';\n');
}
