import { expect } from 'chai';
import { openTextDatabase } from '../../src/db/connection';
import type { Database, TextDatabase } from '../../src/db/database';
import type { SessionId } from '../../src/model/ids';
import { must } from '../../src/model/must';
import { relationOf } from '../../src/model/relations';
import { SessionReader, type RangeRows, type RowRange } from '../../src/store/relations/read';
import { createSessionWithLogs, createTenant, type Tenant } from '../support/fixtures';
import { databaseUrl, open } from '../support/mysql';

const limit = 100;
/** How large a range may be in these tests, in bytes. */
const bytes = 100_000;

describe('the rows of a range', () => {
  let db: Database;
  let reads: TextDatabase;
  let reader: SessionReader;
  let tenant: Tenant;
  before(async () => {
    db = open(databaseUrl());
    reads = openTextDatabase({ url: databaseUrl(), poolSize: 1, lockWaitSeconds: 1 });
    reader = await SessionReader.create(reads);
    tenant = await createTenant(db);
  });
  after(async () => {
    await reads.destroy();
    await db.destroy();
  });

  const logsOf = (sizes: readonly number[]): Promise<SessionId> =>
    createSessionWithLogs(db, tenant, sizes);

  /** What `ListSessionRows` reads. */
  async function list(id: SessionId, page: Pick<RowRange, 'after' | 'limit'>): Promise<RangeRows> {
    const range = { ...page, bytes, always: true };
    const reading = await reader.readRows(reads, tenant.applicationId, id, 'logs', range);
    return must(reading?.found, 'the logs').rows;
  }

  const ordinals = ({ rows }: RangeRows): unknown[] => rows.map((row) => row['ordinal']);

  /** What `ListSessionRows` and `GetSession` read. */
  async function read(id: SessionId): Promise<{ readonly listed: RangeRows; shown: RangeRows }> {
    const room = { limit, bytes, always: false };
    const session = must(
      await reader.readSession(reads, tenant.applicationId, id, room),
      'the session',
    );
    const logs = must(relationOf('user', 'logs'), 'the logs');
    return {
      listed: await list(id, { after: undefined, limit }),
      shown: must(session.rows.get(logs), 'the logs'),
    };
  }

  const small = Array.from({ length: 20 }, () => 100);

  for (const { name, sizes, listed, shown = listed, more } of [
    { name: 'are all that fit', sizes: small, listed: 20, more: false },
    { name: 'end before one that does not fit', sizes: [60_000, 60_000], listed: 1, more: true },
    { name: 'end before one behind', sizes: [60_000, 200_000, 10], listed: 1, more: true },
    {
      name: 'end before one behind the first look',
      sizes: [...small, 99_000],
      listed: 20,
      more: true,
    },
    {
      name: 'begin with one that never fits',
      sizes: [200_000, 10],
      listed: 1,
      shown: 0,
      more: true,
    },
    { name: 'are one that never fits', sizes: [200_000], listed: 1, shown: 0, more: true },
  ]) {
    it(`${name}, and no other is sent`, async () => {
      const found = await read(await logsOf(sizes));
      expect(ordinals(found.listed)).to.deep.equal([...sizes.keys()].slice(0, listed));
      expect(ordinals(found.shown)).to.deep.equal([...sizes.keys()].slice(0, shown));
      expect(found.listed.more).to.equal(sizes.length > listed && more);
      expect(found.shown.more).to.equal(more);
    });
  }

  it('follow each other without gaps, whatever their sizes', async () => {
    const sizes = Array.from({ length: 30 }, (_, index) => (index % 7 === 3 ? 120_000 : 30_000));
    const id = await logsOf(sizes);
    const seen: unknown[] = [];
    let after: readonly [number] | undefined;
    while (seen.length < sizes.length) {
      const range = await list(id, { after, limit: 4 });
      seen.push(...ordinals(range));
      const last = must(range.rows.at(-1), 'a row');
      after = [last['ordinal'] as number];
    }
    expect(seen).to.deep.equal([...sizes.keys()]);
  });
});
