import { expect } from 'chai';
import type { Database } from '../../src/db/database';
import { read } from '../../src/db/query';
import type { SessionId } from '../../src/model/ids';
import { sessionsToLink } from '../../src/store/relations/key-people';
import { createCompany } from '../support/companies';
import { createSessions, createTenant } from '../support/fixtures';
import { databaseUrl, open } from '../support/mysql';
import { countingSteps } from '../support/rows';

describe('the sessions that key people name', () => {
  let db: Database;
  before(() => {
    db = open(databaseUrl());
  });
  after(() => db.destroy());

  it('are found in their order, each once, and no other application’s', async () => {
    const [source, other] = [await createTenant(db), await createTenant(db)];
    const own = await createSessions(db, source, 'user', 3);
    const theirs = await createSessions(db, other, 'user', 2);
    const [first, second, third] = own as [SessionId, SessionId, SessionId];
    const company = await createCompany(db, source, [third, ...theirs, first, third, second]);
    const { applicationId } = source;
    const found = await read(db, sessionsToLink(company, applicationId, 3));
    expect(found).to.deep.equal(new Map([third, first, second].map((id) => [id, null])));
    const empty = await createCompany(db, source, []);
    expect(await read(db, sessionsToLink(empty, applicationId, 3))).to.deep.equal(new Map());
    const stranger = await createCompany(db, source, theirs);
    expect(await read(db, sessionsToLink(stranger, applicationId, 3))).to.deep.equal(new Map());
  });

  it('are not read if they are too many, however many there are', async () => {
    const source = await createTenant(db);
    const company = await createCompany(db, source, await createSessions(db, source, 'user', 300));
    const toLink = sessionsToLink(company, source.applicationId, 10);
    const { result, rows } = await countingSteps(50, () => read(db, toLink));
    expect(result).to.equal('too many');
    expect(rows).to.be.lessThan(50);
    const all = await read(db, sessionsToLink(company, source.applicationId, 300));
    expect(all).to.have.property('size', 300);
  });
});
