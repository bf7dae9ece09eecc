import { expect } from 'chai';
import { openMultiDatabase } from '../../src/db/connection';
import type { MultiDatabase, ParsingDatabase } from '../../src/db/database';
import { atOneMoment, inTransaction } from '../../src/db/transaction';
import { createEmptyDatabase } from '../support/mysql';
import { MysqlProxy } from '../support/mysql-proxy';

describe('a transaction whose BEGIN goes with its first statement', () => {
  let url: string;
  let db: MultiDatabase & ParsingDatabase;
  beforeEach(async () => {
    // With one connection, whatever a transaction leaves behind meets the next one.
    url = await createEmptyDatabase();
    db = openMultiDatabase({ url, poolSize: 1, lockWaitSeconds: 10 });
    await db.raw('CREATE TABLE things (id INT PRIMARY KEY)');
    await db.raw('INSERT INTO things VALUES (1)');
  });
  afterEach(() => db.destroy());

  const stop = new Error('roll back');
  const rolledBack = async (work: Promise<unknown>): Promise<void> => {
    expect(await work.catch((error: unknown) => error)).to.equal(stop);
  };
  const things = (): Promise<number[]> => db('things').orderBy('id').pluck('id');

  it('begins before a statement whose rows are streamed', async () => {
    const work = inTransaction(db, async (trx) => {
      const rows: unknown[] = [];
      for await (const row of trx('things').stream()) rows.push(row);
      expect(rows).to.deep.equal([{ id: 1 }]);
      throw stop;
    });
    await rolledBack(work);
    await rolledBack(
      inTransaction(db, async (trx) => {
        for await (const row of trx.raw('INSERT INTO things VALUES (2)').stream()) expect(row);
        throw stop;
      }),
    );
    expect(await things()).to.deep.equal([1]);
  });

  it('has begun although its first statement failed', async () => {
    for (const failing of ['SELEC', 'INSERT INTO things VALUES (1)']) {
      const work = inTransaction(db, async (trx) => {
        expect(await trx.raw(failing).catch(() => 'failed')).to.equal('failed');
        await trx.raw('INSERT INTO things VALUES (2)');
        throw stop;
      });
      await rolledBack(work);
    }
    expect(await things()).to.deep.equal([1]);
  });

  it('leaves nothing to the next one, if it had no statement', async () => {
    await inTransaction(db, () => Promise.resolve());
    await rolledBack(atOneMoment(db, () => Promise.reject(stop)));
    await db.raw('INSERT INTO things VALUES (2)');
    await rolledBack(inTransaction(db, () => Promise.reject(stop)));
    expect(await things()).to.deep.equal([1, 2]);
  });

  it('is at one moment if it is meant to be, in one round trip less for each of its first steps', async () => {
    const proxy = await MysqlProxy.open(url);
    const proxied = openMultiDatabase({ url: proxy.url, poolSize: 1, lockWaitSeconds: 10 });
    const sent: string[] = [];
    try {
      await proxied.raw('SELECT 1');
      proxy.intercept = ({ sql }) => void sent.push(sql);
      for (const [transaction, seen] of [
        [atOneMoment, [1]],
        // The isolation level was for that one only.
        [inTransaction, [1, 2]],
      ] as const) {
        await transaction(proxied, async (trx) => {
          const rows = (): Promise<number[]> => trx('things').orderBy('id').pluck('id');
          expect(await rows()).to.deep.equal([1]);
          await db.raw('INSERT INTO things VALUES (2)');
          expect(await rows()).to.deep.equal(seen);
        });
        await db.raw('DELETE FROM things WHERE id = 2');
      }
    } finally {
      await proxied.destroy();
      proxy.close();
    }
    expect(sent.map((sql) => sql.split(' ').slice(0, 3).join(' '))).to.deep.equal([
      ...['SET TRANSACTION ISOLATION', 'select `id` from', 'COMMIT;'],
      ...['BEGIN;\nselect `id` from', 'select `id` from', 'COMMIT;'],
    ]);
  });
});
