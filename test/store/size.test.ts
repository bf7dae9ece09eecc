import { expect } from 'chai';
import type { Database } from '../../src/db/database';
import { readColumns } from '../../src/db/catalogue';
import { read } from '../../src/db/query';
import { toBinary } from '../../src/model/ids';
import { must } from '../../src/model/must';
import { kindSchemas } from '../../src/model/relations';
import { sessionKinds } from '../../src/model/session';
import { planClone, readCatalogue } from '../../src/store/relations/clone-plan';
import { largeBytes } from '../../src/store/relations/count';
import * as fc from 'fast-check';
import { createSession, createTenant } from '../support/fixtures';
import { databaseUrl, open } from '../support/mysql';
import { anyRelations, insertRelations } from '../support/random-session';

describe('the size of a session', () => {
  let db: Database;
  before(() => {
    db = open(databaseUrl());
  });
  after(() => db.destroy());

  for (const kind of sessionKinds) {
    it(`grows with every value of a ${kind} session that can be large`, async () => {
      const schema = kindSchemas[kind];
      const plan = planClone(db, schema, await readCatalogue(db));
      const id = await createSession(db, await createTenant(db), kind);
      const [rows] = fc.sample(await anyRelations(kind), 1);
      await insertRelations(db, kind, id, must(rows, 'rows'));
      const sizes = async () => must((await read(db, largeBytes(plan, [id]))).get(id), 'the size');
      const large = await readColumns(
        db,
        "DATA_TYPE IN ('json', 'text', 'mediumtext', 'longtext')",
      );
      const tables = new Set<string>();
      for (const { table } of schema.relations) {
        for (const column of large.get(table) ?? []) {
          // In one row, so that no row is left out.
          const set = (value: string) =>
            db(table)
              .where({ session_id: toBinary(id) })
              .orderBy('ordinal', 'desc')
              .limit(1)
              .update({ [column]: value });
          await set('"x"');
          const before = await sizes();
          await set(`"${'x'.repeat(50_000)}"`);
          const after = await sizes();
          expect(after.all - before.all, `${table}.${column}`).to.be.greaterThan(49_000);
          expect(after.largestRow).to.be.within(50_000, after.all);
          tables.add(table);
        }
      }
      expect(tables.size).to.be.greaterThan(5);
      const empty = await createSession(db, await createTenant(db), kind);
      const found = await read(db, largeBytes(plan, [id, empty]));
      expect(found.get(empty)).to.deep.equal({ all: 0, largestRow: 0 });
      expect(found.get(id)).to.deep.equal(await sizes());
    });
  }
});
