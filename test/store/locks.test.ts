import { expect } from 'chai';
import type { Database, MultiDatabase } from '../../src/db/database';
import { read } from '../../src/db/query';
import { inTransaction } from '../../src/db/transaction';
import { toBinary } from '../../src/model/ids';
import { kindSchemas } from '../../src/model/relations';
import { sessionKinds } from '../../src/model/session';
import { shareLockSessions, type Locking } from '../../src/store/sessions/lock';
import { createSession, createTenant } from '../support/fixtures';
import { databaseUrl, open } from '../support/mysql';

describe('the lock of source sessions', () => {
  let db: Database;
  before(() => {
    db = open(databaseUrl());
  });
  after(() => db.destroy());

  for (const kind of sessionKinds) {
    for (const locking of ['wait', 'skip'] satisfies Locking[]) {
      it(`neither waits for a session of another application nor takes it (${kind}, ${locking})`, async () => {
        const schema = kindSchemas[kind];
        const [source, other] = [await createTenant(db), await createTenant(db)];
        const { applicationId } = source;
        const own = await createSession(db, source, kind);
        const theirs = await createSession(db, other, kind);
        const lockTheirs = (trx: Database) =>
          trx(schema.sessions)
            .where({ id: toBinary(theirs) })
            .forUpdate()
            .noWait();
        const lockNamed = (trx: Database) =>
          read(
            trx,
            shareLockSessions(
              schema,
              [
                { id: own, applicationId },
                { id: theirs, applicationId },
              ],
              locking,
            ),
          );
        await inTransaction(db as MultiDatabase, async (owner) => {
          await lockTheirs(owner);
          const locked = await inTransaction(db, lockNamed);
          expect([...locked.keys()]).to.deep.equal([own]);
        });
        await inTransaction(db, async (trx) => {
          await lockNamed(trx);
          expect(await inTransaction(db, lockTheirs)).to.have.length(1);
        });
      });
    }
  }
});
