import { expect } from 'chai';
import type { Database } from '../../src/db/database';
import { readTables } from '../../src/db/catalogue';
import { boundsTransactions, checkTables, ownTables } from '../../src/store/tables';
import { createMigratedDatabase, open } from '../support/mysql';
import { whileSet } from '../support/server-settings';

describe('the check of the tables at the start', () => {
  let db: Database;
  let url: string;
  before(async () => {
    url = await createMigratedDatabase();
    db = open(url);
  });
  after(() => db.destroy());

  async function problems(of = db): Promise<string[]> {
    const error: unknown = await checkTables(of).catch((reason: unknown) => reason);
    expect(error).to.have.property('name', 'SchemaMismatch');
    const [, ...lines] = (error as Error).message.split('\n');
    return lines.map((line) => line.trim());
  }

  it('knows every table that the migrations make, and is content with them', async () => {
    const tables = [...(await readTables(db)).keys()].filter((name) => !name.startsWith('knex_'));
    expect(ownTables.toSorted()).to.deep.equal(tables.toSorted());
    await checkTables(db);
  });

  it('names a binary log that the service could not write to', async function () {
    // A server that writes none, as MariaDB by default, is fit with any format.
    if (process.env['DATABASE_URL']) this.skip();
    const there = open(url);
    const found = await whileSet({ binlog_format: 'STATEMENT' }, () => problems(there));
    await there.destroy();
    expect(found).to.deep.equal(["SET GLOBAL binlog_format = 'ROW'"]);
  });

  it('sees whether the server bounds what a transaction writes', async function () {
    if (process.env['DATABASE_URL']) this.skip();
    const bounded = await whileSet({ max_binlog_cache_size: 2 ** 24 }, () =>
      boundsTransactions(db),
    );
    expect(bounded).to.equal(true);
    expect(await boundsTransactions(db)).to.equal(false);
  });

  it('names each that was converted, or has gone, and what to do', async () => {
    await db.raw('ALTER TABLE user_faces ROW_FORMAT = COMPACT');
    await db.raw('ALTER TABLE share_tokens ENGINE = MyISAM');
    await db.raw(
      'ALTER TABLE user_sessions MODIFY session_token VARCHAR(64) CHARACTER SET latin1 NOT NULL',
    );
    await db.raw('DROP TABLE import_refusals');
    const found = await problems();
    expect(found).to.include.members([
      'ALTER TABLE user_sessions MODIFY session_token … COLLATE utf8mb4_bin',
      'ALTER TABLE user_faces ROW_FORMAT = DYNAMIC',
      'ALTER TABLE share_tokens ENGINE = InnoDB',
      'table import_refusals does not exist',
    ]);
    for (const statement of found.filter((each) => /^ALTER TABLE (user_faces|share_)/.test(each)))
      await db.raw(statement);
    expect(await problems()).to.have.length(2);
  });
});
