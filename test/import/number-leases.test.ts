import { expect } from 'chai';
import type { Database } from '../../src/db/database';
import { newId, toBinary } from '../../src/model/ids';
import { createRetry } from '../../src/db/retry';
import { NumberLeases } from '../../src/import/number-leases';
import { createSession, createTenant, type Tenant } from '../support/fixtures';
import { databaseUrl, open } from '../support/mysql';

describe('session numbers', () => {
  let db: Database;
  let tenant: Tenant;
  const retry = createRetry(() => undefined);
  before(() => {
    db = open(databaseUrl());
  });
  beforeEach(async () => {
    tenant = await createTenant(db);
  });
  after(() => db.destroy());

  it('are given out once, to however many ask at the same time, in several processes', async () => {
    const other = await createTenant(db);
    const { applicationId } = tenant;
    const processes = [new NumberLeases(db, retry), new NumberLeases(db, retry)];
    const taken: number[] = [];
    for (let round = 0; round < 5; round++) {
      const answers = await Promise.all(
        processes.flatMap((numbers) =>
          [1, 30, 70].map((count) =>
            numbers.take([
              ...Array.from({ length: count }, () => applicationId),
              other.applicationId,
            ]),
          ),
        ),
      );
      taken.push(...answers.flatMap((numbers) => numbers.slice(0, -1) as number[]));
    }
    expect(taken).to.have.length(5 * 2 * 101);
    for (const number of taken) expect(number).to.be.a('number').greaterThan(0);
    expect(new Set(taken)).to.have.length(taken.length);
  });

  it('grow from call to call, also after several were leased at once', async () => {
    const numbers = new NumberLeases(db, retry);
    const { applicationId } = tenant;
    await Promise.all(Array.from({ length: 5 }, () => numbers.take([applicationId])));
    let last = 0;
    for (let call = 0; call < 200; call++) {
      const [number] = await numbers.take([applicationId]);
      expect(number).to.be.greaterThan(last);
      last = number as number;
    }
  });

  it('start above those in use, if an application has no counter yet', async () => {
    await createSession(db, tenant, 'business', { session_number: 4711 });
    await db('session_counters')
      .where({ application_id: toBinary(tenant.applicationId) })
      .delete();
    const [number] = await new NumberLeases(db, retry).take([tenant.applicationId]);
    expect(number).to.equal(4712);
  });

  it('start above those in use, if the counter was set back', async () => {
    const numbers = new NumberLeases(db, retry);
    await numbers.take([tenant.applicationId]);
    await createSession(db, tenant, 'user', { session_number: 500 });
    const next_number = 3;
    await db('session_counters')
      .where({ application_id: toBinary(tenant.applicationId) })
      .update({ next_number });
    expect(await numbers.takeAnew([tenant.applicationId])).to.deep.equal([501]);
    expect(await new NumberLeases(db, retry).take([tenant.applicationId])).to.deep.equal([565]);
  });

  it('end at 2^53 - 1, and whoever runs the database is told so', async () => {
    const other = await createTenant(db);
    const last = Number.MAX_SAFE_INTEGER;
    for (const [next_number, fits] of [
      [last - 63, true],
      [last - 62, false],
      [last + 1, false],
    ] as const) {
      await db('session_counters')
        .insert({ application_id: toBinary(tenant.applicationId), next_number })
        .onConflict()
        .merge();
      const [number, others] = await new NumberLeases(db, retry).take([
        tenant.applicationId,
        other.applicationId,
      ]);
      if (fits) expect(number).to.equal(next_number);
      else expect(number).to.match(/has no session numbers left: .* session_counters/);
      expect(others).to.be.a('number');
    }
  });

  it('that can not be had for one application, are had for the others', async () => {
    const [missing, number] = await new NumberLeases(db, retry).take([
      newId(),
      tenant.applicationId,
    ]);
    expect(missing).to.be.instanceOf(Error);
    expect(number).to.be.a('number');
  });
});
