import { expect } from 'chai';
import { seedDemo } from '../../src/demo';
import { toBinary } from '../../src/model/ids';
import { SessionStatus } from '../../src/gen/sessionimport/v1/session_import';
import { sessionKinds } from '../../src/model/session';
import { failureOf, rowsOf, sessionOf } from '../support/client';
import { addLogs, createSession } from '../support/fixtures';
import { scrape, sumOf } from '../support/metrics';
import { createMigratedDatabase, open } from '../support/mysql';
import { refusedCalls } from '../support/refused';
import { select } from '../support/rows';
import { startHarness, writingNothing, type Harness } from '../support/service';

describe('a call that only validates', () => {
  let harness: Harness;
  before(async () => {
    harness = await startHarness();
  });
  after(() => harness.stop());

  async function offer(kind: 'user' | 'business') {
    const { db, source, target, signer } = harness;
    const original = await createSession(db, source, kind);
    await addLogs(db, kind, original, 3);
    const shareToken = await signer.share(source, target, kind, original);
    return { original, request: { shareToken, workflowId: target.workflows[kind] } };
  }

  for (const kind of sessionKinds) {
    for (const trustReview of [true, false]) {
      it(`answers what an import answers, less what is made by it (${kind}, trusted: ${trustReview})`, async () => {
        const { client, target } = harness;
        const { request } = await offer(kind);
        const asked = { ...request, trustReview, vendorData: 'Ana' };
        const validated = await client.import(target.apiKey, { ...asked, validateOnly: true });
        const imported = await client.import(target.apiKey, asked);
        expect(sessionOf(validated)).to.deep.equal({
          ...sessionOf(imported),
          sessionId: '',
          sessionNumber: 0,
          sessionUrl: '',
          createdAt: undefined,
        });
        expect(validated.clonedRelations).to.deep.equal(imported.clonedRelations);
        expect(rowsOf(validated)).to.deep.equal({ logs: 3 });
      });
    }
  }

  it('writes nothing at all: every table of the database is what it was', async () => {
    const url = await createMigratedDatabase();
    const db = open(url);
    const seeded = await seedDemo(db);
    const there = await startHarness({ environment: { ...writingNothing, DATABASE_URL: url } });
    const { client, signer } = there;
    const { source, importing } = seeded;
    const ids = { user: source.userSessionId, business: source.businessSessionId };
    const workflows = { user: importing.userWorkflowId, business: importing.businessWorkflowId };
    const schema = new URL(url).pathname.slice(1);
    const tables = await select(
      'SELECT TABLE_NAME AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = ?',
      [schema],
    );
    expect(tables.length).to.be.greaterThan(30);
    const state = () =>
      select(
        `CHECKSUM TABLE ${tables.map(({ name }) => `\`${schema}\`.\`${String(name)}\``).join()} EXTENDED`,
      );

    const before = await state();
    for (const kind of sessionKinds) {
      const shareToken = await signer.share(
        { applicationId: source.applicationId } as never,
        { applicationId: importing.applicationId } as never,
        kind,
        ids[kind],
      );
      const request = { shareToken, workflowId: workflows[kind], vendorData: `a new ${kind}` };
      const answers = await Promise.all(
        Array.from({ length: 5 }, () =>
          client.import(importing.apiKey, { ...request, validateOnly: true }),
        ),
      );
      for (const answer of answers)
        expect(Object.keys(rowsOf(answer)).length).to.be.greaterThan(10);
      const withId = { ...request, validateOnly: true, requestId: ids[kind] };
      await client.import(importing.apiKey, withId);
      expect(await state()).to.deep.equal(before);
      await client.import(importing.apiKey, request);
      expect(await state()).not.to.deep.equal(before);
      before.splice(0, before.length, ...(await state()));
    }
    await there.stop();
    await db.destroy();
  });

  it('is refused for what an import is refused for, in the same order', async () => {
    const { client, db, target, source } = harness;
    const { atTheDoor, inTheGroup } = await refusedCalls(harness);
    for (const { reason, apiKey, request } of [...atTheDoor, ...inTheGroup]) {
      const failure = await failureOf(client.import(apiKey, { ...request, validateOnly: true }));
      expect(failure.reason).to.equal(reason);
    }
    const validate = (request: object) =>
      client.import(target.apiKey, { ...request, validateOnly: true });
    const reasonOf = async (request: object) => (await failureOf(validate(request))).reason;
    const { original, request } = await offer('user');
    const sources = db('user_sessions').where({ id: toBinary(original) });
    await sources.clone().update({ status: 'In Progress' });
    const wrongTwice = { ...request, workflowId: source.workflows.user };
    expect(await reasonOf(wrongTwice)).to.equal('SOURCE_SESSION_NOT_FINISHED');
    await sources.clone().update({ status: 'Kyc Expired' });
    const answer = await validate({ ...request, trustReview: true });
    expect(sessionOf(answer).status).to.equal(SessionStatus.SESSION_STATUS_KYC_EXPIRED);
    await client.import(target.apiKey, request);
    expect(await reasonOf(wrongTwice)).to.equal('SESSION_ALREADY_IMPORTED');
    await sources.clone().delete();
    const gone = await offer('business');
    await db('business_sessions')
      .where({ id: toBinary(gone.original) })
      .delete();
    expect(await reasonOf(gone.request)).to.equal('SOURCE_SESSION_NOT_FOUND');
  });

  it('shares a group with imports of the same session, and does not get in their way', async () => {
    const { client, target } = harness;
    const { original, request } = await offer('user');
    const calls = Array.from({ length: 12 }, (_, i) =>
      client.import(target.apiKey, { ...request, validateOnly: i % 3 !== 0 }),
    );
    const settled = await Promise.allSettled(calls);
    const imported = settled.filter(
      (result) => result.status === 'fulfilled' && sessionOf(result.value).sessionId !== '',
    );
    expect(imported).to.have.length(1);
    expect(
      await select('SELECT id FROM user_sessions WHERE shared_from_session_id = ?', [
        toBinary(original),
      ]),
    ).to.have.length(1);
  });

  it('with the id of a request that was carried out tells what that one was answered', async () => {
    const { client, target } = harness;
    const { original, request } = await offer('user');
    const named = { ...request, requestId: original };
    const imported = await client.import(target.apiKey, named);
    const validated = await client.import(target.apiKey, { ...named, validateOnly: true });
    expect(validated).to.deep.equal(imported);
  });

  it('is counted by itself', async () => {
    const { client, target, server } = harness;
    const { request } = await offer('user');
    const count = async (result: string) =>
      sumOf(await scrape(server.metricsPort), 'session_import_imports_total', { result });
    const [validated, rows] = [
      await count('validated'),
      sumOf(await scrape(server.metricsPort), 'session_import_cloned_rows_total'),
    ];
    await client.import(target.apiKey, { ...request, validateOnly: true });
    expect(await count('validated')).to.equal(validated + 1);
    expect(sumOf(await scrape(server.metricsPort), 'session_import_cloned_rows_total')).to.equal(
      rows,
    );
  });
});
