import { expect } from 'chai';
import { toBinary, type SessionId } from '../../src/model/ids';
import { kindSchemas } from '../../src/model/relations';
import { sessionKinds, type SessionKind } from '../../src/model/session';
import { endings, rowsOf, sessionOf } from '../support/client';
import { addLogs, createSession, createTenant } from '../support/fixtures';
import { select } from '../support/rows';
import { startHarness, type Harness } from '../support/service';

const callers = 50;

describe('concurrent imports', () => {
  let harness: Harness;
  before(async () => {
    harness = await startHarness();
  });
  after(() => harness.stop());

  const copiesOf = (kind: SessionKind, original: SessionId) =>
    select('SELECT id FROM ?? WHERE shared_from_session_id = ?', [
      kindSchemas[kind].sessions,
      toBinary(original),
    ]);

  for (const kind of sessionKinds) {
    it(`of one ${kind} session with one token make one copy`, async () => {
      const { db, source, target, signer, client } = harness;
      const original = await createSession(db, source, kind);
      const shareToken = await signer.share(source, target, kind, original);
      const request = { shareToken, workflowId: target.workflows[kind], vendorData: 'one' };
      const results = await endings(
        Array.from({ length: callers }, () => client.import(target.apiKey, request)),
      );
      expectOneOf(results);
      expect(await copiesOf(kind, original)).to.have.length(1);
    });

    it(`of one ${kind} session with a token each make one copy`, async () => {
      const { db, source, target, signer, client } = harness;
      const original = await createSession(db, source, kind);
      const tokens = await Promise.all(
        Array.from({ length: callers }, () => signer.share(source, target, kind, original)),
      );
      expect(new Set(tokens)).to.have.length(callers);
      const results = await endings(
        tokens.map((shareToken) =>
          client.import(target.apiKey, { shareToken, workflowId: target.workflows[kind] }),
        ),
      );
      expectOneOf(results);
      expect(await copiesOf(kind, original)).to.have.length(1);
    });
  }

  it('of one session into many applications make a copy in each', async () => {
    const { db, source, signer, client } = harness;
    const original = await createSession(db, source, 'user');
    await addLogs(db, 'user', original, 3);
    const answers = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const tenant = await createTenant(db);
        const shareToken = await signer.share(source, tenant, 'user', original);
        return client.import(tenant.apiKey, { shareToken, workflowId: tenant.workflows.user });
      }),
    );
    for (const answer of answers) expect(rowsOf(answer)).to.deep.equal({ logs: 3 });
    expect(await copiesOf('user', original)).to.have.length(20);
  });

  it('of many sessions for one vendor entity make the entity once', async () => {
    const { db, source, target, signer, client } = harness;
    const answers = await Promise.all(
      Array.from({ length: callers }, async () => {
        const original = await createSession(db, source, 'user');
        const shareToken = await signer.share(source, target, 'user', original);
        return client.import(target.apiKey, {
          shareToken,
          workflowId: target.workflows.user,
          vendorData: 'the same person',
        });
      }),
    );
    expect(answers).to.have.length(callers);
    const entities = await db('vendor_users').where({
      application_id: toBinary(target.applicationId),
      vendor_data: Buffer.from('the same person'),
    });
    expect(entities).to.have.length(1);
  });

  it('into one application get numbers of their own, that grow', async () => {
    const { db, source, signer, client } = harness;
    const tenant = await createTenant(db);
    const importOne = async () => {
      const original = await createSession(db, source, 'user');
      const shareToken = await signer.share(source, tenant, 'user', original);
      const request = { shareToken, workflowId: tenant.workflows.user };
      return sessionOf(await client.import(tenant.apiKey, request)).sessionNumber;
    };
    const numbers = await Promise.all(Array.from({ length: callers }, importOne));
    expect(new Set(numbers)).to.have.length(callers);
    expect(Math.min(...numbers)).to.equal(1);
    expect(await importOne()).to.be.greaterThan(Math.max(...numbers));
  });

  it('of good and bad calls together are settled each by itself', async () => {
    const { db, source, target, signer, client } = harness;
    const share = (id: SessionId) => signer.share(source, target, 'user', id);
    const calls = await Promise.all(
      Array.from({ length: 60 }, async (_, index) => {
        const status = index % 4 === 1 ? 'In Progress' : 'Approved';
        const original = await createSession(db, source, 'user', { status });
        if (index % 4 === 2)
          await db('user_sessions')
            .where({ id: toBinary(original) })
            .delete();
        const workflows = index % 4 === 3 ? target.workflows.business : target.workflows.user;
        return { shareToken: await share(original), workflowId: workflows };
      }),
    );
    const results = await endings(calls.map((request) => client.import(target.apiKey, request)));
    expect(results).to.deep.equal(
      calls.map(
        (_, index) =>
          [
            'OK',
            'SOURCE_SESSION_NOT_FINISHED',
            'SOURCE_SESSION_NOT_FOUND',
            'WORKFLOW_KIND_MISMATCH',
          ][index % 4],
      ),
    );
  });
});

/** One has imported the session, and all others were told so. */
function expectOneOf(results: readonly string[]): void {
  expect(results.filter((result) => result === 'OK')).to.have.length(1);
  expect(results.filter((result) => result === 'SESSION_ALREADY_IMPORTED')).to.have.length(
    callers - 1,
  );
}
