import { expect } from 'chai';
import type { Database } from '../../src/db/database';
import { read } from '../../src/db/query';
import { countSessionsOfKeyPeople } from '../../src/store/relations/key-people';
import { createCompany } from '../support/companies';
import { createSessions, createTenant } from '../support/fixtures';
import { databaseUrl, open } from '../support/mysql';
import { countingSteps } from '../support/rows';

describe('the count of the sessions that key people name', () => {
  let db: Database;
  before(() => {
    db = open(databaseUrl());
  });
  after(() => db.destroy());

  it('counts each once, and no other application’s', async () => {
    const [source, other] = [await createTenant(db), await createTenant(db)];
    const own = await createSessions(db, source, 'user', 3);
    const theirs = await createSessions(db, other, 'user', 2);
    const company = await createCompany(db, source, [...own, ...theirs, ...own]);
    const { applicationId } = source;
    expect(await read(db, countSessionsOfKeyPeople(company, applicationId, 10))).to.equal(3);
    const empty = await createCompany(db, source, []);
    expect(await read(db, countSessionsOfKeyPeople(empty, applicationId, 10))).to.equal(0);
  });

  it('ends at the limit, however many people there are', async () => {
    const source = await createTenant(db);
    const company = await createCompany(db, source, await createSessions(db, source, 'user', 300));
    const count = countSessionsOfKeyPeople(company, source.applicationId, 11);
    const { result, rows } = await countingSteps(50, () => read(db, count));
    expect(result).to.equal(11);
    expect(rows).to.be.lessThan(50);
  });
});
