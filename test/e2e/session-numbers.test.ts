import { expect } from 'chai';
import type { ImportSessionRequest } from '../../src/gen/sessionimport/v1/session_import';
import { newId, toBinary } from '../../src/model/ids';
import { sessionKinds, type SessionKind } from '../../src/model/session';
import { endings, sessionOf } from '../support/client';
import { createCompany, requestWithLinked } from '../support/companies';
import { createSessions, createTenant, type Tenant } from '../support/fixtures';
import { sumOf, scrape } from '../support/metrics';
import { select } from '../support/rows';
import { startHarness, type Harness } from '../support/service';

describe('when the counters of session numbers were set back', () => {
  let one: Harness;
  let two: Harness;
  let target: Tenant;
  before(async () => {
    one = await startHarness({ environment: { IMPORT_WORKERS: '1' } });
    // Another process of the same service: it has leases of its own.
    const { jwks, signingKey } = one.signer;
    two = await startHarness({
      environment: { SHARE_TOKEN_JWKS: jwks, SHARE_TOKEN_SIGNING_KEY: signingKey },
    });
  });
  beforeEach(async () => {
    target = await createTenant(one.db);
  });
  after(async () => {
    await two.stop();
    await one.stop();
  });

  async function requests(
    kind: SessionKind,
    count: number,
    to = target,
  ): Promise<Partial<ImportSessionRequest>[]> {
    const { db, source, signer } = one;
    const originals = await createSessions(db, source, kind, count);
    return Promise.all(
      originals.map(async (original) => ({
        shareToken: await signer.share(source, to, kind, original),
        workflowId: to.workflows[kind],
      })),
    );
  }

  async function importMany({ client }: Harness, kind: SessionKind, count: number) {
    const wanted = await requests(kind, count);
    return endings(wanted.map((request) => client.import(target.apiKey, request)));
  }

  const counterOf = async ({ applicationId }: Tenant): Promise<number> => {
    const [row] = await select(
      'SELECT next_number FROM session_counters WHERE application_id = ?',
      [toBinary(applicationId)],
    );
    return Number(row?.['next_number']);
  };

  /** As a replica has it that knows of no number that was given out since. */
  const setCounter = (next: number, { applicationId } = target) =>
    one
      .db('session_counters')
      .where({ application_id: toBinary(applicationId) })
      .update({ next_number: next });

  async function expectNumbersOfTheirOwn(sessions: number, tenant = target): Promise<void> {
    const id = toBinary(tenant.applicationId);
    const rows = await select(
      `SELECT session_number FROM user_sessions WHERE application_id = ?
       UNION ALL SELECT session_number FROM business_sessions WHERE application_id = ?`,
      [id, id],
    );
    const numbers = rows.map((row) => Number(row['session_number']));
    expect(numbers).to.have.length(sessions);
    expect(new Set(numbers)).to.have.length(sessions);
    // So other services that take the next one are not given a number that is in use.
    expect(await counterOf(tenant)).to.be.greaterThan(Math.max(...numbers));
  }

  const ok = (count: number): string[] => Array.from({ length: count }, () => 'OK');

  for (const kind of sessionKinds) {
    it(`${kind} sessions get numbers that are free, in all processes that hold old ones`, async () => {
      expect(await importMany(one, kind, 1)).to.deep.equal(['OK']);
      expect(await importMany(two, kind, 1)).to.deep.equal(['OK']);
      await setCounter(1);
      // Another service of the platform is the first to be given numbers again.
      await createSessions(one.db, target, kind, 70);
      await setCounter(30);
      const results = await Promise.all([one, two].map((each) => importMany(each, kind, 20)));
      expect(results.flat()).to.deep.equal(ok(40));
      await expectNumbersOfTheirOwn(2 + 70 + 40);
    });
  }

  it('no user session gets the number of a business session, nor the other way round', async () => {
    expect(await importMany(one, 'user', 1)).to.deep.equal(['OK']);
    expect(await importMany(two, 'business', 1)).to.deep.equal(['OK']);
    await setCounter(1);
    const [first, second] = ['business', 'user'] as const;
    for (let round = 0; round < 3; round++) {
      expect(await importMany(two, first, 3)).to.deep.equal(ok(3));
      expect(await importMany(one, second, 3)).to.deep.equal(ok(3));
      await setCounter(1);
    }
    expect(await importMany(one, first, 1)).to.deep.equal(['OK']);
    await expectNumbersOfTheirOwn(2 + 18 + 1);
  });

  it('a number is taken anew before somebody else is given the old one', async () => {
    const [first] = await Promise.all(
      (await requests('user', 1)).map((request) => one.client.import(target.apiKey, request)),
    );
    await setCounter(sessionOf(first ?? expect.fail()).sessionNumber + 1);
    expect(await importMany(one, 'user', 1)).to.deep.equal(['OK']);
    await expectNumbersOfTheirOwn(2);
  });

  it('the sessions of key people get numbers that are free, as their company does', async () => {
    const { db, source, signer, client } = one;
    expect(await importMany(one, 'business', 1)).to.deep.equal(['OK']);
    await setCounter(1);
    await createSessions(db, target, 'user', 5);
    for (const requestId of [newId(), newId()]) {
      const people = await createSessions(db, source, 'user', 3);
      const company = await createCompany(db, source, people);
      await setCounter(1);
      const request = await requestWithLinked({ signer, source, target }, company);
      const wanted = { ...request, requestId };
      const answer = await client.import(target.apiKey, wanted);
      const made = [answer.session, ...answer.linkedSessions.map(({ session }) => session)];
      for (const session of made) {
        const [row] = await select(
          `SELECT session_number FROM user_sessions WHERE id = ?
           UNION ALL SELECT session_number FROM business_sessions WHERE id = ?`,
          Array.from({ length: 2 }, () => toBinary(session?.sessionId as never)),
        );
        expect(session?.sessionNumber).to.equal(Number(row?.['session_number']));
      }
      expect(await client.import(target.apiKey, wanted)).to.deep.equal(answer);
    }
    await expectNumbersOfTheirOwn(1 + 5 + 2 * 4);
  });

  it('others in the same groups are imported, and previews answered without a number', async () => {
    const { client, server } = one;
    const other = await createTenant(one.db);
    const [warm, ...wanted] = await requests('user', 11);
    const [theirWarm, ...theirs] = await requests('user', 11, other);
    await client.import(target.apiKey, warm ?? {});
    await client.import(other.apiKey, theirWarm ?? {});
    await setCounter(1);
    await createSessions(one.db, target, 'user', 30);
    const previews = await requests('user', 5);
    const retries = async () =>
      sumOf(await scrape(server.metricsPort), 'session_import_retries_total');
    const before = await retries();
    const mixed = wanted.flatMap((request, index) => [
      client.import(target.apiKey, request),
      client.import(other.apiKey, theirs[index] ?? {}),
    ]);
    const previewed = await Promise.all(
      previews.map((request) => client.import(target.apiKey, { ...request, validateOnly: true })),
    );
    expect(await endings(mixed)).to.deep.equal(ok(20));
    for (const { session } of previewed) expect(session?.sessionNumber).to.equal(0);
    await expectNumbersOfTheirOwn(1 + 30 + 10);
    await expectNumbersOfTheirOwn(11, other);
    // One try finds out, and no group is taken apart for it.
    expect((await retries()) - before).to.be.within(1, 3);
  });

  it('a preview takes no number, and changes no counter', async () => {
    await importMany(one, 'user', 1);
    await setCounter(1);
    const [preview] = await requests('user', 1);
    await one.client.import(target.apiKey, { ...preview, validateOnly: true });
    expect(await counterOf(target)).to.equal(1);
  });

  it('or lost altogether, imports start them anew', async () => {
    await importMany(one, 'user', 1);
    await one
      .db('session_counters')
      .where({ application_id: toBinary(target.applicationId) })
      .delete();
    expect(await importMany(one, 'user', 1)).to.deep.equal(['OK']);
    await expectNumbersOfTheirOwn(2);
  });
});
